"""The experiment on added pictures, on toytown, with a trainer whose results are known."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.experiments.added_pictures import COMPOSED, PASTED, record_of
from scenequilt.tools.experiments.augment import (
    ARMS,
    REAL,
    AugmentRequest,
    AugmentResult,
    look_at,
    run_augment,
)
from scenequilt.tools.experiments.augment_report import finding, in_markdown, write_report
from scenequilt.tools.training.segmenter_samples import SampleSource

CAR = 6


class KnownSegmenter:
    """Sees the truth of the tested pictures, but in some places a car."""

    def __init__(self, truth: dict[bytes, np.ndarray], wrong_columns: int) -> None:
        self._truth = truth
        self._wrong_columns = wrong_columns

    def predict(self, images: np.ndarray) -> np.ndarray:
        seen = np.stack([self._truth[image.tobytes()] for image in images])
        seen[:, :, : self._wrong_columns] = CAR
        return seen


class KnownTrainer:
    """Trains nothing; copy-paste is a little worse than real photographs, compositions better."""

    def __init__(self, truth: dict[bytes, np.ndarray]) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self._truth = truth

    def __call__(self, samples: SampleSource, seed: int, name: str) -> KnownSegmenter:
        self.calls.append((name, seed, len(samples)))
        for place in range(len(samples)):
            image, label_map = samples.read(place)
            assert image.shape == (*label_map.shape, 3)
        wrong = {REAL: 20, PASTED: 30, COMPOSED: 10}[name.partition("-")[0]]
        return KnownSegmenter(self._truth, wrong + seed)


@pytest.fixture(scope="module")
def request_of(toytown_dataset: Path, toytown_bank: Path) -> Callable[..., AugmentRequest]:
    """Makes a request that trains on toytown's train split and tests on val."""

    def make(**changes: object) -> AugmentRequest:
        settings: dict[str, object] = {
            "dataset": toytown_dataset,
            "bank": toytown_bank,
            "split": "train",
            "test_split": "val",
            "count": 3,
        }
        return AugmentRequest(**{**settings, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def truth(toytown_dataset: Path) -> dict[bytes, np.ndarray]:
    """Label map by the bytes of the photograph, of toytown's val split."""
    reader = open_dataset(toytown_dataset)
    photographs = [reader.read(entry) for entry in reader.entries("val")]
    return {item.image.tobytes(): item.layout.label_map for item in photographs}


@pytest.fixture(scope="module")
def finished(
    request_of: Callable[..., AugmentRequest],
    truth: dict[bytes, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[AugmentResult, Path, KnownTrainer]:
    """An experiment of three seeds, its folder and its trainer."""
    out = tmp_path_factory.mktemp("experiment") / "out"
    trainer = KnownTrainer(truth)
    result = run_augment(look_at(request_of()), out, trainer, training={"steps": 5})
    write_report(result, out)
    return result, out, trainer


def test_every_arm_is_trained_with_every_seed(
    finished: tuple[AugmentResult, Path, KnownTrainer],
) -> None:
    _, _, trainer = finished

    assert [call[:2] for call in trainer.calls] == [
        (f"{arm}-{seed}", seed) for arm in ARMS for seed in (0, 1, 2)
    ]
    sizes = {name.partition("-")[0]: size for name, _, size in trainer.calls}
    assert sizes == {REAL: 21, PASTED: 42, COMPOSED: 42}, "half of what is seen is added"


def test_scores_are_those_of_the_known_segmenters(
    finished: tuple[AugmentResult, Path, KnownTrainer], truth: dict[bytes, np.ndarray]
) -> None:
    result, _, _ = finished

    cars = sum(np.count_nonzero(labels == CAR) for labels in truth.values())
    for seed in (0, 1, 2):
        wrong = 10 + seed
        false = sum(
            np.count_nonzero((labels[:, :wrong] != CAR) & (labels[:, :wrong] != 255))
            for labels in truth.values()
        )
        found = result.comparison.of_seeds[COMPOSED]["car"][seed]
        assert found == pytest.approx(cars / (cars + false))


def test_the_finding_says_which_is_better(
    finished: tuple[AugmentResult, Path, KnownTrainer],
) -> None:
    result, _, _ = finished

    sentences = finding(result)

    assert sentences[0].startswith("Real + compositions beats real + random copy-paste in mean IoU")
    assert sentences[1].startswith("Real + random copy-paste is worse than real photographs")
    assert "car (+" in sentences[0].split("worse for")[0]
    assert sentences[0].endswith("worse for no class.")


def test_added_pictures_are_datasets_of_one_size(
    finished: tuple[AugmentResult, Path, KnownTrainer],
) -> None:
    result, out, _ = finished

    for kind in (PASTED, COMPOSED):
        reader = open_dataset(out / "pictures" / kind)
        assert [entry.source_id for entry in reader.entries()] == list(result.added.names)
        assert len(result.added.names) == 3


def test_both_kinds_show_the_same_things(
    finished: tuple[AugmentResult, Path, KnownTrainer], toytown_bank: Path
) -> None:
    result, out, _ = finished

    with MemoryBank.open(toytown_bank) as bank:
        for name in result.added.names:
            composed = record_of(out / "pictures" / COMPOSED, name)
            pasted = record_of(out / "pictures" / PASTED, name)
            assert [thing["segment_id"] for thing in pasted["things"]] == composed["things"]
            classes = {bank.segment(int(number)).class_id for number in composed["things"]}
            kinds = {bank.taxonomy.classes[class_id].kind for class_id in classes}
            assert kinds <= {"thing"}


def test_no_composition_is_made_of_its_own_parents(
    finished: tuple[AugmentResult, Path, KnownTrainer],
) -> None:
    result, out, _ = finished

    for name in result.added.names:
        record = record_of(out / "pictures" / COMPOSED, name)
        assert record["sources"]
        assert not set(record["parents"]) & set(record["sources"])


def test_the_report_is_written(finished: tuple[AugmentResult, Path, KnownTrainer]) -> None:
    result, out, _ = finished

    table = json.loads((out / "experiment.json").read_text())
    assert table["finding"] == finding(result)
    (warning,) = table["warnings"]
    assert warning.startswith("the 3 photographs that are tested on make 1 blocks of neighbours")
    assert set(table["iou"]) == set(ARMS)
    assert set(table["differences"]) == {
        "composed - pasted", "pasted - real", "composed - real"
    }  # fmt: skip
    assert (out / "experiment.md").read_text() == in_markdown(result)
    assert "| car |" in in_markdown(result)
    with Image.open(out / "examples.png") as sheet:
        assert sheet.width == 4 * 320 + 5 * 12


def test_resume_trains_only_what_is_missing(
    finished: tuple[AugmentResult, Path, KnownTrainer],
    request_of: Callable[..., AugmentRequest],
    truth: dict[bytes, np.ndarray],
) -> None:
    result, out, _ = finished
    (out / "runs" / "pasted-1.json").unlink()
    (out / "pictures" / PASTED / "records" / "layout_00001.json").unlink()
    before = (out / "pictures" / PASTED / "images" / "layout_00001.png").read_bytes()
    trainer = KnownTrainer(truth)

    again = run_augment(look_at(request_of()), out, trainer, training={"steps": 5}, resume=True)

    assert [name for name, _, _ in trainer.calls] == ["pasted-1"]
    assert again.comparison == result.comparison
    assert (out / "pictures" / PASTED / "images" / "layout_00001.png").read_bytes() == before


def test_an_earlier_experiment_is_not_written_over(
    finished: tuple[AugmentResult, Path, KnownTrainer],
    request_of: Callable[..., AugmentRequest],
    truth: dict[bytes, np.ndarray],
    tmp_path: Path,
) -> None:
    _, out, _ = finished
    setting, trainer = look_at(request_of()), KnownTrainer(truth)
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(ValueError, match="holds an earlier experiment; --resume goes on"):
        run_augment(setting, out, trainer, training={"steps": 5})
    with pytest.raises(ValueError, match="had training steps 5, this one has 6"):
        run_augment(setting, out, trainer, training={"steps": 6}, resume=True)
    with pytest.raises(ValueError, match="no folder of an earlier experiment"):
        run_augment(setting, tmp_path, trainer, training={}, force=True)
    assert trainer.calls == []


def test_a_bank_with_a_test_photograph_is_refused(
    toytown_dataset: Path, request_of: Callable[..., AugmentRequest], tmp_path: Path
) -> None:
    build_bank(open_dataset(toytown_dataset), tmp_path / "all", min_area_px=12)

    with pytest.raises(ValueError, match=r"holds 3 photographs that are tested on.*--exclude-seq"):
        look_at(request_of(bank=tmp_path / "all"))


def test_a_held_out_sequence_is_tested_on_and_not_trained_on(
    toytown_dataset: Path, request_of: Callable[..., AugmentRequest], tmp_path: Path
) -> None:
    reader = open_dataset(toytown_dataset)
    sequences = sorted({entry.sequence for entry in reader.entries("train")})
    build_bank(
        reader, tmp_path / "bank", split="train", exclude_sequence=[sequences[0]], min_area_px=12
    )

    setting = look_at(
        request_of(bank=tmp_path / "bank", test_split=None, hold_out_sequences=(sequences[0],))
    )

    assert {entry.sequence for entry in setting.testing} == {sequences[0]}
    assert sequences[0] not in {entry.sequence for entry in setting.training}
    assert setting.warnings == ()
    with pytest.raises(ValueError, match="holds 10 photographs that are tested on"):
        look_at(request_of(test_split=None, hold_out_sequences=(sequences[0],)))


def test_a_bank_with_other_frames_of_the_held_out_film_is_refused(
    toytown_dataset: Path, request_of: Callable[..., AugmentRequest], tmp_path: Path
) -> None:
    shutil.copytree(toytown_dataset, tmp_path / "again")
    for path in (tmp_path / "again" / "images" / "train").iterdir():
        # Other bytes, as another frame has; what comes after the end of a JPEG is not read.
        path.write_bytes(path.read_bytes() + b"other")
    reader = open_dataset(tmp_path / "again")
    build_bank(reader, tmp_path / "bank", split="train", min_area_px=12)
    sequence = reader.entries("train")[0].sequence

    with pytest.raises(ValueError, match="holds 10 photographs of the sequence that are tested on"):
        look_at(request_of(bank=tmp_path / "bank", test_split=None, hold_out_sequences=(sequence,)))
    with pytest.raises(ValueError, match="holds none of the 21 photographs that are trained on"):
        look_at(request_of(bank=tmp_path / "bank"))


def test_a_photograph_under_two_names_is_kept_out_of_both_its_layouts(
    toytown_dataset: Path, request_of: Callable[..., AugmentRequest], tmp_path: Path
) -> None:
    shutil.copytree(toytown_dataset, tmp_path / "twice")
    name = open_dataset(toytown_dataset).entries("train")[0].source_id
    for path in [path for path in (tmp_path / "twice").rglob(f"{name}*") if path.is_file()]:
        shutil.copy(path, path.with_name(path.name.replace(name, f"{name}_again")))

    setting = look_at(request_of(dataset=tmp_path / "twice"))

    assert len(setting.training) == 22
    assert setting.own_sources[name] == setting.own_sources[f"{name}_again"] == (name,)
    assert setting.warnings == ()


def test_a_film_that_is_trained_and_tested_on_is_warned_of(
    toytown_dataset: Path, request_of: Callable[..., AugmentRequest], tmp_path: Path
) -> None:
    shutil.copytree(toytown_dataset, tmp_path / "mixed")
    reader = open_dataset(toytown_dataset)
    one, other = reader.entries("train")[0].sequence, reader.entries("val")[0].sequence
    table = tmp_path / "mixed" / "sources.csv"
    table.write_text(table.read_text().replace(f",{other},", f",{one},"))

    setting = look_at(request_of(dataset=tmp_path / "mixed"))

    assert [warning.partition(":")[0] for warning in setting.warnings] == [one]


def test_a_sequence_that_does_not_exist_is_refused(
    request_of: Callable[..., AugmentRequest],
) -> None:
    with pytest.raises(DatasetError, match="no sequence 'oldtown' to hold out; there are"):
        look_at(request_of(test_split=None, hold_out_sequences=("oldtown",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_split": None}, "either a sequence to hold out or a split to test on"),
        ({"hold_out_sequences": ("a",)}, "either a sequence to hold out or a split to test on"),
        ({"split": "val"}, "split 'val' is trained on, so it cannot be tested on"),
        ({"seeds": ()}, "seeds is"),
        ({"seeds": (1, 1)}, "none twice"),
        ({"count": 0}, "count is 0"),
        ({"share": 1.0}, "share is 1.0"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    request_of: Callable[..., AugmentRequest], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        request_of(**changes)
