"""The trainings of an experiment: the program's own segmenter, gone on with where it was broken off."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.progress import Progress
from scenequilt.tools.training.outputs import state_path
from scenequilt.tools.training.segmenter import (
    SegmenterSettings,
    TrainedSegmenter,
    train_segmenter,
)
from scenequilt.tools.training.segmenter_samples import SampleSource


@dataclass(frozen=True, eq=False)
class SegmenterTrainer:
    """Trains the segmenter on the samples of an arm.

    Attributes:
        taxonomy: The classes.
        folder: Where weights, logs and the states of unfinished trainings lie.
        settings: Of every training; the seed is replaced by that of the training.
        device: "cpu", "cuda", ...
        say: Is told which training begins, and returns what is called after every step.
    """

    taxonomy: Taxonomy
    folder: Path
    settings: SegmenterSettings
    device: str = "cpu"
    say: Callable[[str], Progress] | None = None

    def __call__(self, samples: SampleSource, seed: int, name: str) -> TrainedSegmenter:
        """Train with a seed.

        Raises:
            CheckpointError: If the state in the folder is of another training.
            KeyboardInterrupt: After an interrupt from the keyboard, once the state is saved.
            ValueError: If the crop does not fit the pictures, or device is not there.
        """
        out = self.folder / f"{name}.safetensors"
        unfinished = state_path(out).is_file()
        return train_segmenter(
            samples,
            self.taxonomy,
            out,
            settings=replace(self.settings, seed=seed),
            origin={"experiment": "augment", "training": name},
            resume=unfinished,
            force=not unfinished,
            device=self.device,
            progress=None if self.say is None else self.say(f"training {name}"),
        )
