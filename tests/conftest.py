"""Real photographs for the tests that want them, and what every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("SCENEQUILT_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests on real photographs out where there are none."""
    if REAL_DATA.is_dir():
        return
    without = [item for item in items if item.get_closest_marker("realdata")]
    items[:] = [item for item in items if not item.get_closest_marker("realdata")]
    config.hook.pytest_deselected(items=without)


def pytest_report_header() -> str:
    """Say where the real photographs are, or that the tests on them do not run."""
    if REAL_DATA.is_dir():
        return f"real photographs: {REAL_DATA}"
    return f"real photographs: none at {REAL_DATA}, the tests marked realdata do not run"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with camvid/, nyuv2/, cityscapes_sample/ and cocostuff_sample/."""
    return REAL_DATA
