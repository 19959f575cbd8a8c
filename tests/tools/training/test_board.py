"""What a training shows in TensorBoard."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenequilt.tools.training.board import Board

Read = Callable[[Path], Any]


def test_numbers_are_written_by_their_path_and_all_else_left_out(
    tmp_path: Path, read_board: Read
) -> None:
    board = Board(tmp_path)

    board.figures(5, {"loss": 1.5, "mean_iou": {"value": 0.25}, "name": "x"}, "validation")
    board.sheet(5, np.zeros((4, 6, 3), np.uint8))
    board.close()

    found = read_board(tmp_path)
    assert found.Tags()["scalars"] == ["validation/loss", "validation/mean_iou/value"]
    assert [(each.step, each.value) for each in found.Scalars("validation/loss")] == [(5, 1.5)]
    (sheet,) = found.Images("sheet")
    assert (sheet.height, sheet.width) == (4, 6)


def test_a_run_that_is_gone_on_with_hides_what_is_done_again(
    tmp_path: Path, read_board: Read
) -> None:
    first = Board(tmp_path)
    for step in (2, 4, 6):
        first.figures(step, {"loss": 1.0}, "training")
    first.close()

    second = Board(tmp_path, done=4)
    second.figures(6, {"loss": 2.0}, "training")
    second.close()

    scalars = read_board(tmp_path).Scalars("training/loss")
    assert [(each.step, each.value) for each in scalars] == [(2, 1.0), (4, 1.0), (6, 2.0)]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    board = Board(None)

    board.figures(1, {"loss": 1.0}, "training")
    board.sheet(1, np.zeros((4, 6, 3), np.uint8))
    board.close()

    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard.writer", raising=False)

    with pytest.raises(ValueError, match=r"needs TensorBoard; .*'scenequilt\[tensorboard\]'"):
        Board(tmp_path)
