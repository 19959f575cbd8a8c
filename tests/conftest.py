"""Real photographs for the tests that want them, and what every test may use."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("SCENEQUILT_DATA", ROOT.parent / "shared" / "data"))
REAL_WEIGHTS = Path(os.environ.get("SCENEQUILT_WEIGHTS", ROOT.parent / "shared" / "weights"))
if "PYTEST_XDIST_WORKER" in os.environ:
    # Tiny networks: threads of one worker would wait for those of the others most of the time. Set
    # before a library that reads it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests out whose real photographs, weights or browser are not there."""
    absent = {
        name
        for name, there in (
            ("realdata", REAL_DATA.is_dir()),
            ("realweights", REAL_WEIGHTS.is_dir()),
            ("browser", CHROMIUM is not None),
        )
        if not there
    }
    without = [item for item in items if any(map(item.get_closest_marker, absent))]
    items[:] = [item for item in items if item not in set(without)]
    config.hook.pytest_deselected(items=without)


def pytest_report_header() -> list[str]:
    """Say where real photographs, weights and browser are, or which tests do not run."""
    return [
        f"{what}: {place}" if there else f"{what}: none at {place}, tests marked {name} do not run"
        for what, place, there, name in (
            ("real photographs", REAL_DATA, REAL_DATA.is_dir(), "realdata"),
            ("published weights", REAL_WEIGHTS, REAL_WEIGHTS.is_dir(), "realweights"),
            ("browser", CHROMIUM or "chromium", CHROMIUM is not None, "browser"),
        )
    ]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with camvid/, nyuv2/, cityscapes_sample/ and cocostuff_sample/."""
    return REAL_DATA


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """Folder with cgnet_camvid.pth, vgg16_conv_lpips_fp16.npz, alexnet_conv_lpips_fp16.npz."""
    return REAL_WEIGHTS


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    assert CHROMIUM is not None, "tests that take this are marked browser"
    return CHROMIUM
