"""Learned stages: which there are weights for, and what fits whom."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
from scenequilt.ordering.orderer import ClosedFormOrderer
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, NoFinish
from scenequilt.synthesis.resail_finish import ResailFinish
from scenequilt.synthesis.sims_finish import SimsFinish
from scenequilt.tools.learned_stages import (
    FILES,
    FINISHES,
    StageWeights,
    file_of,
    inference_dtype,
    load_aligner,
    load_finish,
    load_orderer,
    load_resail,
    load_stages,
)
from scenequilt.tools.output.recipe import ComposeChoices
from scenequilt.tools.training.checkpoint import read_checkpoint, write_checkpoint

OTHERS = Taxonomy(
    "others",
    (ClassInfo(0, "sea", (0, 0, 255), "stuff"), ClassInfo(1, "boat", (255, 0, 0), "thing")),
)


@pytest.fixture
def file(toytown_weights: Path) -> Path:
    """The weights of the finish."""
    return toytown_weights / FILES["finish"]


@pytest.fixture
def resail_file(toytown_resail_weights: Path, tmp_path: Path) -> Path:
    """Weights of the retrieval-guided generator, in a folder that is ours to change."""
    return shutil.copytree(toytown_resail_weights, tmp_path / "resail") / FINISHES["resail"]


def _with_card(file: Path, out: Path, **changes: object) -> Path:
    checkpoint = read_checkpoint(file)
    card = replace(checkpoint.card, **changes)  # type: ignore[arg-type]
    write_checkpoint(out, checkpoint.state, card)
    return out


def test_a_folder_knows_its_stages(toytown_weights: Path) -> None:
    weights = StageWeights(toytown_weights)

    assert [stage for stage in FILES if weights.has(stage)] == ["finish"]
    assert weights.path("finish") == toytown_weights / "synthesis.safetensors"
    assert weights.finish == "sims"


def test_a_folder_knows_which_finishes_it_has(file: Path, resail_file: Path) -> None:
    weights = StageWeights(resail_file.parent)

    assert (weights.has("finish"), weights.has("finish", "resail")) == (False, True)
    assert weights.path("finish", "resail") == resail_file
    assert weights.finish == "resail"
    with pytest.raises(
        CheckpointError, match=r"synthesis\.safetensors is missing, which the learn"
    ):
        weights.path("finish")
    shutil.copy(file, resail_file.parent / FINISHES["sims"])
    assert weights.finish == "sims", "the first of several"


def test_a_stage_without_weights_is_named(toytown_weights: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"orderer\.safetensors is missing, which .* 'order' needs; train it"
    ):
        StageWeights(toytown_weights).path("order")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none is no folder; give one with any of aligner\."):
        StageWeights(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"holds none of aligner\.safetensors, .*; put there"):
        StageWeights(tmp_path)


def test_without_weights_everything_is_closed() -> None:
    stages = load_stages(ComposeChoices(), {}, TOYTOWN_TAXONOMY)

    assert isinstance(stages.aligner, ClosedFormAligner)
    assert isinstance(stages.orderer, ClosedFormOrderer)
    assert isinstance(stages.finish, ClosedFinish)
    assert stages.finish.transfer is not None


def test_choices_reach_the_closed_finish() -> None:
    choices = ComposeChoices(blend="hard", color_transfer=False)

    closed = load_stages(choices, {}, TOYTOWN_TAXONOMY).finish
    none = load_stages(ComposeChoices(finish="none"), {}, TOYTOWN_TAXONOMY).finish

    assert isinstance(closed, ClosedFinish)
    assert (closed.blend, closed.transfer) == ("hard", None)
    assert isinstance(none, NoFinish)


@pytest.mark.parametrize(
    ("choices", "stage"),
    [
        (ComposeChoices(align="learned"), "align"),
        (ComposeChoices(order="learned"), "order"),
        (ComposeChoices(finish="sims"), "finish"),
        (ComposeChoices(finish="resail"), "finish"),
    ],
)
def test_a_learned_stage_needs_weights(choices: ComposeChoices, stage: str) -> None:
    file = file_of(stage, choices.finish)

    assert choices.learned == (stage,)
    with pytest.raises(
        CheckpointError,
        match=f"stage '{stage}' needs {file}, and no weights were given; .*--weights",
    ):
        load_stages(choices, {}, TOYTOWN_TAXONOMY)


def test_the_finish_is_loaded_as_it_was_trained(file: Path) -> None:
    choices = ComposeChoices(finish="sims", elision=False, color_transfer=False, blend="hard")

    finish = load_stages(choices, {"finish": file}, TOYTOWN_TAXONOMY).finish

    assert isinstance(finish, SimsFinish)
    assert finish.elision == ElisionSettings(inner_band=0.03, outer_band=0.05)
    assert (finish.elides, finish.before.transfer) == (False, None)
    assert not finish.generator.training
    assert next(finish.generator.parameters()).dtype == inference_dtype()


def test_the_retrieval_guided_finish_is_loaded_as_it_was_trained(resail_file: Path) -> None:
    choices = ComposeChoices(
        finish="resail", kept="harmonise", elision=False, color_transfer=False, blend="hard"
    )

    finish = load_stages(choices, {"finish": resail_file}, TOYTOWN_TAXONOMY).finish

    assert isinstance(finish, ResailFinish)
    assert finish.elision == ElisionSettings(inner_band=0.03, outer_band=0.05)
    assert (finish.kept, finish.elides, finish.before.transfer) == ("harmonise", False, None)
    assert finish.before.blend == "hard"
    assert not finish.generator.training
    assert next(finish.generator.parameters()).dtype == inference_dtype()
    plain = load_stages(ComposeChoices(finish="resail"), {"finish": resail_file}, TOYTOWN_TAXONOMY)
    settings = plain.finish_settings()
    assert (settings["name"], settings["kept"], settings["elides"]) == ("resail", "exact", True)
    assert "generator" not in json.loads(json.dumps(settings))


def test_weights_of_one_finish_are_not_those_of_another(file: Path, resail_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"network 'sims_synthesis', expected 'resail'; give"):
        load_resail(file, TOYTOWN_TAXONOMY)
    with pytest.raises(CheckpointError, match=r"network 'resail', expected 'sims_synthesis'; give"):
        load_finish(resail_file, TOYTOWN_TAXONOMY)


def test_the_precision_is_one_that_this_processor_computes_in() -> None:
    assert inference_dtype() in (torch.bfloat16, torch.float32)


def test_the_settings_of_a_finish_go_into_a_recipe_without_weights(file: Path) -> None:
    stages = load_stages(ComposeChoices(finish="sims"), {"finish": file}, TOYTOWN_TAXONOMY)

    settings = stages.finish_settings()

    assert "generator" not in settings
    assert settings["name"] == "sims"
    assert settings["elision"]["inner_band"] == 0.03
    assert json.loads(json.dumps(settings))["elides"] is True
    closed = load_stages(ComposeChoices(), {}, TOYTOWN_TAXONOMY).finish_settings()
    assert closed["name"] == "closed"


@pytest.mark.parametrize(
    ("stage", "learned"),
    [("align", "learned"), ("order", "learned"), *(("finish", finish) for finish in FINISHES)],
)
def test_weights_of_other_classes_are_refused_by_name(file: Path, stage: str, learned: str) -> None:
    choices = ComposeChoices(**{stage: learned})  # type: ignore[arg-type]

    with pytest.raises(
        CheckpointError,
        match=r"synthesis\.safetensors was trained on the classes sky, .*, but the bank has sea, "
        r"boat; give weights trained on the bank's dataset",
    ):
        load_stages(choices, {stage: file}, OTHERS)


def test_a_card_without_classes_is_refused(file: Path, tmp_path: Path) -> None:
    path = _with_card(file, tmp_path / "a.safetensors", taxonomy=None)

    with pytest.raises(CheckpointError, match=r"a\.safetensors: its card names no classes; train"):
        load_finish(path, TOYTOWN_TAXONOMY)


def test_a_card_without_bands_is_refused(file: Path, tmp_path: Path) -> None:
    path = _with_card(file, tmp_path / "a.safetensors", preprocessing={"range": [0, 1]})

    with pytest.raises(
        CheckpointError, match=r"a\.safetensors: its card does not say which bands it was trained"
    ):
        load_finish(path, TOYTOWN_TAXONOMY)


def test_weights_of_another_network_are_refused_with_their_file(file: Path, tmp_path: Path) -> None:
    path = _with_card(file, tmp_path / "a.safetensors", network="cgnet")

    with pytest.raises(
        CheckpointError, match=r"a\.safetensors: .* network 'cgnet', expected 'sims_synthesis'"
    ):
        load_finish(path, TOYTOWN_TAXONOMY)


def test_the_weights_of_a_finish_neither_align_nor_order(file: Path) -> None:
    for load in (load_aligner, load_orderer):
        with pytest.raises(CheckpointError, match="'sims_synthesis', expected '"):
            load(file, TOYTOWN_TAXONOMY)


def test_a_damaged_file_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(file.read_bytes()[:-100])

    with pytest.raises(CheckpointError, match=r"a\.safetensors: .* no whole safetensors file"):
        load_finish(path, TOYTOWN_TAXONOMY)
