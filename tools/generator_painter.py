"""A generator without a bank as a command uses it: weights, layouts and pictures from files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from scenequilt.memory_bank.datasets.files import read_photograph
from scenequilt.memory_bank.datasets.folder import files_by_name
from scenequilt.memory_bank.datasets.open import READERS, open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.baselines.pi_rec import PiRec
from scenequilt.synthesis.baselines.pix2pixhd import Pix2PixHDGenerator
from scenequilt.synthesis.drawing import (
    conditions_of_canvas,
    conditions_of_drawing,
    conditions_of_photograph,
)
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.manipulation import Scene
from scenequilt.synthesis.refinement import one_hot_layout
from scenequilt.tools.evaluation.compose_run import ComposeRun
from scenequilt.tools.training.checkpoint import read_checkpoint
from scenequilt.tools.training.jobs.generator import generator_job
from scenequilt.tools.training.restoring import settings_of, taxonomy_of

Given = Literal["style", "photograph", "lines", "colors"]
"""What a person may give a picture for: style, whose look is wanted; photograph, of which PI-REC draws
lines and colours; lines and colors, a drawing."""


@dataclass(frozen=True, slots=True)
class PictureFinder:
    """A picture for all layouts, or one for each by its name.

    Attributes:
        path: A file, a dataset, or a folder of files named as the layouts, in it or one folder below.

    Raises:
        DatasetError: If there is nothing.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise DatasetError(f"{self.path} does not exist; give a picture or a folder of them")

    def find(self, name: str) -> Path:
        """Return the picture that belongs to a layout.

        Raises:
            DatasetError: If there is none.
        """
        if self.path.is_file():
            return self.path
        found = _pictures_in(self.path).get(name)
        if found is None:
            raise DatasetError(
                f"{self.path}: no picture {name!r}, expected a file named as each layout; add it, or "
                "give one file for all of them"
            )
        return found

    def read(self, name: str, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB, brought to a size.

        Raises:
            DatasetError: If there is no such picture, or it cannot be read.
        """
        picture = read_photograph(self.find(name))
        if picture.shape[:2] == size_hw:
            return picture
        resized = Image.fromarray(picture).resize(size_hw[::-1], Image.Resampling.BICUBIC)
        return np.asarray(resized)


@lru_cache(maxsize=8)
def _pictures_in(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by the names of their layouts."""
    found: dict[str, Path] = {}
    if any(reader.recognises(folder) for reader in READERS.values()):
        for entry in open_dataset(folder).entries():
            for name in (entry.source_id, entry.label_path.stem):
                found.setdefault(name, entry.image_path)
        return found
    for below in sorted(each for each in folder.iterdir() if each.is_dir()):
        found |= files_by_name(below)
    return found | files_by_name(folder)


@dataclass(frozen=True, eq=False)
class GeneratorPainter:
    """Makes pictures of layouts by a generator.

    Attributes:
        generator: In evaluation mode; a module.
        taxonomy: The classes that it was trained on.
        pictures: What else it is given.
        run: Compositions whose canvases it finishes, None for none.
        draws: How many pictures of one layout seeds can make; None without end.
        bf16: Compute in bfloat16 where autocast does.

    Raises:
        ValueError: If it is given what it does not read.
    """

    generator: ImageGenerator
    taxonomy: Taxonomy
    pictures: Mapping[Given, PictureFinder] = field(default_factory=dict)
    run: ComposeRun | None = None
    draws: int | None = None
    bf16: bool = False

    def __post_init__(self) -> None:
        if "style" in self.pictures and getattr(self.generator, "encoder", None) is None:
            raise ValueError(
                f"this {self.generator.name} reads no style; train spade with network.vae = true, or "
                "pix2pixhd with network.features = 3"
            )
        drawn = {"photograph", "lines", "colors"} & self.pictures.keys()
        if (drawn or self.run is not None) and not isinstance(self.generator, PiRec):
            what = ", ".join(sorted(drawn)) or "canvases"
            raise ValueError(f"{self.generator.name} reads no {what}; only pi_rec does")
        if len({"lines", "colors"} & self.pictures.keys()) == 1:
            raise ValueError("a drawing is lines and colors; give both, or neither")
        if len({"photograph", "lines"} & self.pictures.keys()) + (self.run is not None) > 1:
            raise ValueError("give one of a photograph, a drawing and the canvases of a run")
        if isinstance(self.generator, PiRec):
            self._check_source(self.generator, given=bool(drawn) or self.run is not None)

    def _check_source(self, generator: PiRec, *, given: bool) -> None:
        """Refuse what a network never saw of its kind in training."""
        if generator.settings.source == "photograph" and not given:
            raise ValueError(
                "this pi_rec was trained on lines and colours of photographs, and a layout has "
                "neither; give --photographs, --lines with --colors, or --canvas"
            )
        if generator.settings.source == "layout" and ("photograph" in self.pictures or self.run):
            raise ValueError(
                "this pi_rec was trained on layouts, so it has never seen lines and colours of "
                "photographs or canvases; train one with --set network.source='\"photograph\"'"
            )

    def paint(self, name: str, scene: Scene, *, seed: int) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of the layout's size."""
        device = _device_of(self.generator)
        conditions = self._conditions(name, scene.layout, device, seed)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            if isinstance(self.generator, Pix2PixHDGenerator):
                made = self.generator.render(conditions, scene.styles, seed=seed)
            else:
                made = self._plain(scene).generate(conditions, seed=seed)
        picture = made[0].float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
        return np.asarray(picture.cpu().numpy(), np.uint8)

    def _plain(self, scene: Scene) -> ImageGenerator:
        if scene.styles:
            raise ValueError(
                f"styles are chosen for objects, but {self.generator.name} has none to choose from; "
                "only pix2pixhd with an encoder has"
            )
        return self.generator

    def _conditions(self, name: str, layout: Layout, device: torch.device, seed: int) -> Conditions:
        size = layout.size_hw
        labels = torch.from_numpy(layout.label_map)[None].to(device)
        conditions = Conditions(
            layout=one_hot_layout(labels, len(self.taxonomy)),
            instances=torch.from_numpy(layout.instance_map)[None].to(device),
        )
        if "style" in self.pictures:
            style = _as_tensor(self.pictures["style"].read(name, size)).to(device)
            conditions = replace(conditions, style=style)
        if "photograph" in self.pictures:
            photograph = _as_tensor(self.pictures["photograph"].read(name, size)).to(device)
            return conditions_of_photograph(conditions, photograph, seed=seed)
        if "lines" in self.pictures:
            drawing = conditions_of_drawing(
                read_photograph(self.pictures["lines"].find(name)),
                read_photograph(self.pictures["colors"].find(name)),
                classes=len(self.taxonomy),
                size_hw=size,
            )
            assert drawing.edges is not None and drawing.color_domain is not None
            return replace(
                conditions,
                edges=drawing.edges.to(device),
                color_domain=drawing.color_domain.to(device),
            )
        if self.run is not None:
            return self._of_canvas(name, conditions, self.run, device, seed)
        return conditions

    def _of_canvas(
        self, name: str, conditions: Conditions, run: ComposeRun, device: torch.device, seed: int
    ) -> Conditions:
        assert isinstance(self.generator, PiRec)
        picture = run.pictures[name][0]
        ownership = picture.ownership()
        if ownership is None:
            raise DatasetError(
                f"{picture.folder} has no ownership.png, which says what of a canvas is pasted; "
                "compose it again"
            )
        covered = Conditions(
            layout=conditions.layout,
            instances=conditions.instances,
            canvas=_as_tensor(picture.image()).to(device),
            coverage=torch.from_numpy(ownership >= 0)[None, None].to(device),
        )
        return conditions_of_canvas(covered, self.generator.class_colors, seed=seed)


def load_painter(
    name: str,
    weights: Path,
    *,
    pictures: Mapping[Given, PictureFinder] | None = None,
    run: ComposeRun | None = None,
    bf16: bool = False,
    device: str = "cpu",
) -> GeneratorPainter:
    """Load a generator.

    Args:
        name: Of the generator.
        weights: Its checkpoint.
        pictures: What else it is given.
        run: Compositions whose canvases it finishes.
        bf16: Compute in bfloat16.
        device: Where.

    Raises:
        CheckpointError: If the file is not of this generator, or damaged.
        ValueError: If there is no such generator, or it does not read what it is given.
    """
    job = generator_job(name)
    checkpoint = read_checkpoint(weights)
    try:
        network = job.restore(checkpoint).to(device)
        taxonomy = taxonomy_of(checkpoint)
    except (CheckpointError, ValueError) as error:
        raise CheckpointError(f"{weights}: {error}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(network, ImageGenerator)
    draws = job.baseline.draws(settings_of(checkpoint, "network", job.baseline.network))
    return GeneratorPainter(network, taxonomy, pictures or {}, run, draws, bf16)


def _device_of(generator: ImageGenerator) -> torch.device:
    assert isinstance(generator, nn.Module)
    return next(generator.parameters()).device


def _as_tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
