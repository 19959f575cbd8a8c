"""Pictures of two systems and photographs, small and of one colour each, and a study of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.tools.people.pictures import System, find_system
from scenequilt.tools.people.study import PHOTOGRAPH, Study, StudyRequest, make_study

LAYOUTS = [f"harbour_{number:02d}" for number in range(12)]


def _write_pictures(folder: Path, seed: int) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for layout in LAYOUTS:
        blocks = draw.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(folder / f"{layout}.png")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of 12 pictures of 48x64: two systems and the photographs."""
    root = tmp_path_factory.mktemp("pictures")
    return {
        name: _write_pictures(root / name, seed)
        for seed, name in enumerate(["quokka", "zebrafinch", PHOTOGRAPH])
    }


@pytest.fixture(scope="session")
def systems(folders: dict[str, Path]) -> tuple[System, ...]:
    """The two systems, and the photographs last."""
    return tuple(find_system(name, folder) for name, folder in folders.items())


MakeStudy = Callable[..., Study]


@pytest.fixture(scope="session")
def study_of(systems: tuple[System, ...]) -> MakeStudy:
    """Make a study of the three, or of other systems, with other settings of the request."""

    def make(**changes: object) -> Study:
        request = {"systems": systems, "pairs": 12, "sentinels": 3} | changes
        return make_study(StudyRequest(**request))  # type: ignore[arg-type]

    return make
