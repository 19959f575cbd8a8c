"""Files of a training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.tools.training.outputs import (
    begin_anew,
    check_out,
    sheet_path,
    state_path,
    write_sheet,
)


def test_a_file_is_neither_overwritten_nor_lost_by_mistake(tmp_path: Path) -> None:
    done, broken, none = (tmp_path / f"{name}.safetensors" for name in ("done", "broken", "none"))
    done.touch()
    state_path(broken).touch()

    with pytest.raises(ValueError, match=r"done\.safetensors exists; .*--force"):
        check_out(done)
    with pytest.raises(ValueError, match=r"broken\.resume\.safetensors holds an unfinished run; "):
        check_out(broken)
    with pytest.raises(ValueError, match="is finished, there is nothing to go on with"):
        check_out(done, resume=True)
    with pytest.raises(ValueError, match="no run to go on with; leave --resume out"):
        check_out(none, resume=True)
    with pytest.raises(ValueError, match="give one of them"):
        check_out(none, resume=True, force=True)
    with pytest.raises(ValueError, match=r"a\.pth: weights are written as \.safetensors"):
        check_out(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="elsewhere is no folder; make it first"):
        check_out(tmp_path / "elsewhere" / "a.safetensors")
    for path, choice in ((done, {"force": True}), (broken, {"resume": True}), (none, {})):
        check_out(path, **choice)


def test_a_sheet_is_named_by_its_steps(tmp_path: Path) -> None:
    out = tmp_path / "town.safetensors"
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

    write_sheet(out, 500, picture)

    read = np.asarray(Image.open(tmp_path / "town.sheets" / "000500.png"))
    np.testing.assert_array_equal(read, picture)


def test_a_new_run_removes_what_an_old_one_left_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "town.safetensors"
    state_path(out).touch()
    write_sheet(out, 500, np.zeros((2, 2, 3), np.uint8))
    own = sheet_path(out, 0).with_name("holiday.png")
    own.touch()

    begin_anew(out)
    begin_anew(tmp_path / "other.safetensors")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
