"""What a job is built from: photographs, files and settings that the command has read already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.tools.progress import Progress

Settings = TypeVar("Settings")


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRequest:
    """What a job's build_job is given.

    Attributes:
        reader: The dataset; None for a job that learns from a bank alone.
        training: Its photographs to learn from.
        held_out: Its photographs to validate on; [] for none. Nothing is in both.
        origin: Where the photographs are from, for the card; JSON.
        bank: Folder of the memory bank, None where none was given.
        features: Weights of the classifier behind a perceptual loss, None where none were given.
        canvases: Set of simulated canvases, None where none was given.
        tables: Settings dataclass by name of its TOML table; holds all of the job's SETTINGS.
        batch_size: Samples in a batch.
        seed: Of first weights and of everything done to samples.
        device: Where the network will be trained, "cpu", "cuda:0", ...
        progress: Is told of photographs that are looked at beforehand; None for nobody.
    """

    reader: DatasetReader | None = None
    training: list[Entry] = field(default_factory=list)
    held_out: list[Entry] = field(default_factory=list)
    origin: Mapping[str, Any] = field(default_factory=dict)
    bank: Path | None = None
    features: Path | None = None
    canvases: Path | None = None
    tables: Mapping[str, object] = field(default_factory=dict)
    batch_size: int = 1
    seed: int = 0
    device: str = "cpu"
    progress: Progress | None = None

    def table(self, name: str, kind: type[Settings]) -> Settings:
        """Return the settings of a table.

        Raises:
            TypeError: If there is no such table or it is of another kind; a fault of the program.
        """
        found = self.tables.get(name)
        if not isinstance(found, kind):
            raise TypeError(
                f"table {name!r} must be {kind.__name__}, got {type(found).__name__}; the job's "
                "SETTINGS say what the command reads"
            )
        return found

    def dataset(self) -> DatasetReader:
        """Return the reader.

        Raises:
            ValueError: If no dataset was given.
        """
        if self.reader is None:
            raise ValueError("this network learns from photographs, but no dataset was given")
        return self.reader
