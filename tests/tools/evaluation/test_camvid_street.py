"""The bar of layout fidelity on real streets that neither bank nor segmenter have seen."""

from pathlib import Path

import pytest

from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.tools.cli import main
from scenequilt.tools.evaluation.run import EvaluationRequest, run_evaluation

ROOT = Path(__file__).parents[3]
SEGMENTER = ROOT / "docs" / "weights" / "camvid-street.safetensors"
BAR = 0.88


@pytest.mark.realdata
@pytest.mark.slow
def test_compositions_are_seen_as_asked_for_nearly_as_well_as_photographs(
    real_data: Path, tmp_path: Path
) -> None:
    camvid = real_data / "camvid"
    layouts = sorted((camvid / "labels" / "train").glob("0006R0*.png"))[::8]
    build_bank(open_dataset(camvid), tmp_path / "bank", split="train", exclude_sequence=["0006R0"])
    composed = main(
        ["compose", *map(str, layouts), "--bank", f"{tmp_path / 'bank'}", "--out", f"{tmp_path / 'run'}"]
    )  # fmt: skip

    found = run_evaluation(
        EvaluationRequest((tmp_path / "run",), real=camvid, segmenters=(SEGMENTER,))
    ).evaluation

    share = found.rows[0].fidelity[0].of_real
    assert composed == 0
    assert share is not None
    assert share >= BAR
    of_row = {row.name: row.fidelity[0].of_real for row in found.rows}
    assert (of_row["nearest"] or 0) < BAR, "a photograph of another layout must not pass"
    assert (of_row["random"] or 0) < BAR, "segments without regard to shape must not pass"
