"""One evaluation from folders to figures: what is refused, what is recorded, what is shown."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation import run
from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.perceptual import SHORT_SIDE, PerceptualNetwork
from scenequilt.tools.evaluation.results import PROTOCOL_VERSION, Evaluation
from scenequilt.tools.evaluation.run import EvaluationRequest, load_judges, run_evaluation
from scenequilt.tools.evaluation.segmenter import Segmenter
from scenequilt.tools.evaluation.weights_folder import NetworkFiles


@pytest.fixture
def stand_ins(
    monkeypatch: pytest.MonkeyPatch, color_segmenter: Segmenter, mean_colors: FeatureNetwork
) -> None:
    """Judge by colours, whatever files are named."""
    judges = Judges([color_segmenter], (), [mean_colors])
    monkeypatch.setattr(run, "load_judges", lambda request, taxonomy: (judges, [], []))


def request(street: Path, *folders: str, **more: Any) -> EvaluationRequest:  # noqa: ANN401
    generated = tuple(street / folder for folder in folders or ("made",))
    return EvaluationRequest(generated, real=street, workers=1, **more)


def judge(street: Path, *folders: str, **more: Any) -> Evaluation:  # noqa: ANN401
    return run_evaluation(request(street, *folders, **more)).evaluation


def second_system(street: Path) -> Path:
    shutil.copytree(street / "images", street / "other")
    return street / "other"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generated": ()}, "--generated names no folder, expected at least one"),
        ({"names": ("a", "b")}, "--name is given 2 times for 1 folders .*one name a folder"),
        ({"seed": -1}, "--seed is -1, expected at least 0"),
        ({"batch": 0}, "--batch is 0, expected at least 1"),
        ({"workers": 0}, "--workers is 0, expected at least 1"),
        ({"size_hw": (10, 64)}, "--size is 10x64, expected at least 11 pixels a side"),
        ({"shown": -1}, "--shown is -1, expected at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationRequest(**{"generated": (Path("made"),), **wrong})


@pytest.mark.usefixtures("stand_ins")
def test_the_table_has_the_system_and_every_calibration_row(street: Path) -> None:
    rows = judge(street).rows

    assert [row.name for row in rows] == ["made", "real", "jpeg30", "nearest", "random"]
    for row in rows:
        assert row.pictures == 4
        assert len(row.fidelity) == len(row.distribution) == 1
        assert row.provenance.nearest_distance is not None


@pytest.mark.usefixtures("stand_ins")
def test_photographs_judged_as_pictures_reach_the_ceiling(street: Path) -> None:
    second_system(street)

    row, real, *_ = judge(street, "other").rows

    assert row.fidelity[0].requested == real.fidelity[0].requested
    assert row.fidelity[0].of_real == 1
    assert row.distribution[0].frechet.value == pytest.approx(0, abs=1e-7)
    assert row.perception.ssim is not None
    assert row.perception.ssim.value == pytest.approx(1)
    assert row.spectrum.distance == 0
    assert row.provenance.nearest_of_real == 1


@pytest.mark.usefixtures("stand_ins")
def test_rows_of_a_bank_are_the_same_for_any_batch_and_workers(
    street: Path, street_bank: Path
) -> None:
    alone = judge(street, bank=street_bank, batch=1)

    together = run_evaluation(
        replace(request(street, bank=street_bank, batch=3), workers=4)
    ).evaluation

    assert json.dumps(replace(together, seconds=0).as_json()) == json.dumps(
        replace(alone, seconds=0).as_json()
    )


def test_what_figures_depend_on_is_recorded(street: Path, street_segmenter: Path) -> None:
    found = judge(street, segmenters=(street_segmenter,), classes=street / "classes.json", seed=7)

    assert (found.protocol_version, found.seed, found.layouts) == (PROTOCOL_VERSION, 7, 4)
    assert found.size_hw == (24, 36)
    assert {"numpy", "torch", "torchmetrics", "pillow"} <= set(found.libraries)
    assert set(found.rules) == {"size", "void", "networks"}
    assert f"short side of at most {SHORT_SIDE} px" in found.rules["networks"]
    assert [(file.role, file.name, file.sha256) for file in found.files] == [
        ("segmenter", "strongest", file_sha256(street_segmenter)),
        ("classes", "three", file_sha256(street / "classes.json")),
    ]
    assert set(found.pictures_sha256) == {"made", "labels", "real"}
    assert found.seconds > 0


@pytest.mark.usefixtures("stand_ins")
def test_a_changed_picture_changes_its_own_hash_only(street: Path) -> None:
    before = judge(street).pictures_sha256
    shutil.copy(street / "made" / "dawn.png", street / "made" / "dusk.png")

    after = judge(street).pictures_sha256

    assert {name for name in before if before[name] != after[name]} == {"made"}


@pytest.mark.usefixtures("stand_ins")
def test_a_bank_is_recorded_by_its_fingerprint(street: Path, street_bank: Path) -> None:
    found = judge(street, bank=street_bank)

    (file,) = found.files
    assert (file.role, file.name) == ("bank", "bank")
    assert len(file.sha256) == 64
    assert "of the bank" in found.rows[3].title
    # Every photograph of the bank is some layout's own, and is not the nearest of that one.
    nearest = {each.layout: each.nearest for each in found.rows[1].each}
    assert set(nearest.values()) <= {"dawn", "dusk", "night", "noon"}
    assert all(layout != photograph for layout, photograph in nearest.items())


def test_without_networks_and_photographs_a_run_has_the_rest_measured(
    two_runs: tuple[Path, Path],
) -> None:
    found = run_evaluation(EvaluationRequest(two_runs[:1])).evaluation

    assert [row.name for row in found.rows] == ["one"]
    assert set(found.unmeasured) == {
        "layout fidelity", "distribution", "LPIPS", "row real", "row jpeg30", "row nearest",
        "row random",
    }  # fmt: skip
    assert found.rows[0].seams.label is not None
    assert "--segmenter" in found.unmeasured["layout fidelity"]
    assert "--weights" in found.unmeasured["LPIPS"]
    assert "--real" in found.unmeasured["row real"]


def test_where_nothing_can_be_measured_it_is_refused_with_the_remedy(
    street: Path, monkeypatch: pytest.MonkeyPatch, mean_colors: FeatureNetwork
) -> None:
    alone = EvaluationRequest((street / "made",), labels=street / "labels")

    with pytest.raises(ValueError, match=r"nothing can be measured: .*no networks, .*with --real,"):
        run_evaluation(alone)

    judges = Judges((), (), [mean_colors])
    monkeypatch.setattr(run, "load_judges", lambda request, taxonomy: (judges, [], []))
    with pytest.raises(ValueError, match="no photographs, no segmenter and no bank, .*--segmenter"):
        run_evaluation(alone)


@pytest.mark.usefixtures("stand_ins")
def test_a_part_of_a_dataset_is_judged_with_a_note(street: Path) -> None:
    (street / "made" / "dusk.png").unlink()

    found = judge(street)

    assert (found.layouts, found.left_out) == (3, {})
    assert any("1 layout of the dataset" in warning for warning in found.warnings)
    assert found.warnings[-3].startswith("3 pictures are few for Fréchet distances")


@pytest.mark.usefixtures("stand_ins")
def test_fewer_photographs_than_make_halves_are_named(street: Path) -> None:
    for folder in ("made", "images", "labels"):
        (street / folder / "dawn.png").unlink()

    found = judge(street)

    assert found.rows[1].distribution == []
    assert (
        "3 photographs, and halves need at least 4"
        in (found.unmeasured["distribution of the row real"])
    )


@pytest.mark.usefixtures("stand_ins")
def test_a_bank_of_one_own_photograph_leaves_the_nearest_unmeasured(
    street: Path, tmp_path: Path
) -> None:
    one = tmp_path / "one"
    for folder in ("images", "labels"):
        (one / folder).mkdir(parents=True)
        shutil.copy(street / folder / "dawn.png", one / folder / "dawn.png")
    shutil.copy(street / "classes.json", one / "classes.json")
    build_bank(open_dataset(one), tmp_path / "one.bank", codec="png")

    found = judge(street, bank=tmp_path / "one.bank")

    assert [row.name for row in found.rows] == ["made", "real", "jpeg30", "random"]
    reason = "no photograph but the own one of 1 layouts (dawn)"
    assert reason in found.unmeasured["row nearest"]
    assert reason in found.unmeasured["distance to the nearest photograph"]
    assert found.rows[0].provenance.nearest_distance is None


@pytest.mark.usefixtures("stand_ins")
def test_a_copy_of_the_own_photograph_is_not_the_nearest(street: Path) -> None:
    shutil.copy(street / "images" / "dawn.png", street / "images" / "dusk.png")

    real = judge(street).rows[1]

    nearest = {each.layout: each.nearest for each in real.each}
    assert {nearest["dawn"], nearest["dusk"]} <= {"night", "noon"}


@pytest.mark.usefixtures("stand_ins")
def test_several_systems_stand_in_one_table(street: Path) -> None:
    second_system(street)

    found = judge(street, "made", "other", names=("ours", "theirs"))

    assert [row.name for row in found.rows][:3] == ["ours", "theirs", "real"]
    assert set(found.pictures_sha256) == {"ours", "theirs", "labels", "real"}
    assert found.rows[1].fidelity[0].of_real == 1


def test_two_systems_of_one_name_are_refused(street: Path) -> None:
    second_system(street)

    with pytest.raises(ValueError, match="two systems have the name 'a'; tell them apart"):
        judge(street, "made", "other", names=("a", "a"))


@pytest.mark.usefixtures("stand_ins")
def test_systems_of_other_layouts_are_refused_or_judged_by_what_they_share(
    street: Path, tmp_path: Path
) -> None:
    # A folder of label maps a system, so that each is complete.
    for name, gone in (("one", "dawn"), ("two", "noon")):
        shutil.copytree(street / "made", tmp_path / name)
        (tmp_path / name / f"{gone}.png").unlink()
    folders = (tmp_path / "one", tmp_path / "two")

    found = run_evaluation(
        EvaluationRequest(folders, real=street, labels=street / "labels", partial=True, workers=1)
    ).evaluation

    assert found.layouts == 2
    assert [each.name for each in found.rows[0].each] == ["dusk", "night"]
    assert [each.name for each in found.rows[1].each] == ["dusk", "night"]
    assert list(found.left_out) == ["dawn", "noon"]
    assert "one has no picture of this name" in found.left_out["dawn"]
    assert "not every system shows this layout" in found.left_out["dawn"]


@pytest.mark.usefixtures("stand_ins")
def test_systems_that_share_too_few_layouts_are_refused(street: Path, tmp_path: Path) -> None:
    for name, gone in (("one", ("dawn", "dusk")), ("two", ("night", "noon"))):
        shutil.copytree(street / "made", tmp_path / name)
        for layout in gone:
            (tmp_path / name / f"{layout}.png").unlink()
    folders = (tmp_path / "one", tmp_path / "two")

    with pytest.raises(ValueError, match=r"2 systems \(one, two\) share 0 layouts, expected at"):
        run_evaluation(EvaluationRequest(folders, real=street, partial=True))


@pytest.fixture
def two_runs(street: Path, tmp_path: Path, street_taxonomy: Taxonomy) -> tuple[Path, Path]:
    """Folders of two runs of compose with the layouts "dawn" and "dusk", in one variant."""
    folders = []
    for name in ("one", "two"):
        out = tmp_path / name
        rows: list[dict[str, Any]] = []
        for layout in ("dawn", "dusk"):
            place = out / layout / "00"
            place.mkdir(parents=True)
            shutil.copy(street / "made" / f"{layout}.png", place / "image.png")
            # The run's own ids are those of the files.
            shutil.copy(street / "labels" / f"{layout}.png", place / "requested.png")
            rows.append({"layout": layout, "variant": 0, "folder": f"{layout}/00", "sources": []})
        (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (out / "classes.json").write_text(json.dumps(street_taxonomy.as_json()))
        plan = {
            "format": "scenequilt run", "version": 1, "program": "9.9",
            "choices": {"variants": 1},
            "layouts": [{"name": name, "path": f"{name}.png"} for name in ("dawn", "dusk")],
        }  # fmt: skip
        (out / "run.json").write_text(json.dumps(plan))
        folders.append(out)
    return folders[0], folders[1]


@pytest.mark.usefixtures("stand_ins")
def test_runs_of_other_layouts_are_refused_with_names(two_runs: tuple[Path, Path]) -> None:
    _, two = two_runs
    plan = json.loads((two / "run.json").read_text())
    plan["layouts"][1]["name"] = "lane"
    (two / "run.json").write_text(json.dumps(plan))
    rows = (two / "manifest.jsonl").read_text().replace("dusk", "lane")
    (two / "manifest.jsonl").write_text(rows)
    (two / "dusk").rename(two / "lane")

    with pytest.raises(
        ValueError, match=r"2 layouts and .*two 2, not the same ones \(dusk, lane in one of"
    ):
        run_evaluation(EvaluationRequest(two_runs))


@pytest.mark.usefixtures("stand_ins")
def test_runs_of_other_label_maps_are_refused(two_runs: tuple[Path, Path]) -> None:
    one, two = two_runs
    shutil.copy(one / "dawn" / "00" / "requested.png", two / "dusk" / "00" / "requested.png")

    with pytest.raises(
        ValueError, match=r"different label maps of 1 layouts \(dusk\).*judged by with --labels"
    ):
        run_evaluation(EvaluationRequest(two_runs))


@pytest.mark.usefixtures("stand_ins")
def test_runs_of_another_size_are_refused(two_runs: tuple[Path, Path]) -> None:
    for path in two_runs[1].glob("*/00/*.png"):
        Image.open(path).resize((18, 12), Image.Resampling.NEAREST).save(path)

    with pytest.raises(ValueError, match="judged at 24x36 in .*two at 12x18 in .*--size"):
        run_evaluation(EvaluationRequest(two_runs))


@pytest.mark.usefixtures("stand_ins")
def test_a_variant_that_a_run_lacks_is_named(two_runs: tuple[Path, Path]) -> None:
    one, _ = two_runs
    plan = json.loads((one / "run.json").read_text())
    plan["choices"]["variants"] = 2
    (one / "run.json").write_text(json.dumps(plan))
    shutil.copytree(one / "dawn" / "00", one / "dawn" / "01")
    with (one / "manifest.jsonl").open("a") as lines:
        lines.write(
            json.dumps({"layout": "dawn", "variant": 1, "folder": "dawn/01", "sources": []}) + "\n"
        )

    with pytest.raises(DatasetError, match=r"1 layout has no picture in .*one \(dusk/01\)"):
        run_evaluation(EvaluationRequest((one,)))

    found = run_evaluation(EvaluationRequest((one,), partial=True)).evaluation

    assert [each.name for each in found.rows[0].each] == ["dawn/00", "dawn/01", "dusk/00"]
    assert "--resume" in found.left_out["dusk/01"]


@pytest.mark.usefixtures("stand_ins")
def test_the_worst_and_the_best_pictures_are_shown(street: Path, street_taxonomy: Taxonomy) -> None:
    labels = open_dataset(street)
    palette = street_taxonomy.palette
    for entry in labels.entries():
        requested = labels.read(entry).layout.label_map
        # Of "dusk" nothing is right, of "noon" all of it.
        shown = 1 - np.minimum(requested, 1) if entry.source_id == "dusk" else requested
        if entry.source_id in ("dusk", "noon"):
            Image.fromarray(palette[shown]).save(street / "made" / f"{entry.source_id}.png")

    gallery = run_evaluation(request(street, shown=1)).gallery

    assert gallery.ranked_by == "mean IoU of each picture, seen by colors"
    (worst,), (best,) = gallery.worst, gallery.best
    assert (worst.name, best.name) == ("dusk", "noon")
    assert worst.figures == "mIoU 0.00, pixel accuracy 0.00"
    assert best.figures == "mIoU 1.00, pixel accuracy 1.00"
    assert list(worst.pictures) == ["layout", "picture", "photograph", "what the segmenter sees"]
    assert set(gallery.spectra) == {"made", "real", "jpeg30", "nearest", "random"}


def test_pictures_of_one_colour_have_a_spectrum_to_look_at(street: Path) -> None:
    for path in (street / "made").glob("*.png"):
        Image.new("RGB", (36, 24), (9, 9, 9)).save(path)

    result = run_evaluation(request(street))

    assert result.gallery.spectra["made"].shape == (24, 36, 3)
    assert result.gallery.worst == []


def test_a_segmenter_that_is_named_and_in_the_folder_counts_once_and_first(
    street_segmenter: Path, street_taxonomy: Taxonomy, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("also", "named"):
        shutil.copy(street_segmenter, folder / f"{name}.onnx")
        shutil.copy(f"{street_segmenter}.json", folder / f"{name}.onnx.json")
    (folder / "broken.npz").write_bytes(b"nothing")
    another_way = folder / ".." / "weights" / "named.onnx"

    judges, files, unread = load_judges(
        EvaluationRequest((Path("made"),), segmenters=(another_way,), weights=folder),
        street_taxonomy,
    )

    assert [segmenter.name for segmenter in judges.segmenters] == ["named", "also"]
    assert [file.role for file in files] == ["segmenter", "segmenter"]
    (sentence,) = unread
    assert sentence.startswith("not used: ")
    assert "broken.npz" in sentence


def test_segmenters_of_one_name_are_refused(
    street_segmenter: Path, street_taxonomy: Taxonomy, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    copy = Path(shutil.copy(street_segmenter, tmp_path / "more"))
    shutil.copy(f"{street_segmenter}.json", tmp_path / "more")

    with pytest.raises(CheckpointError, match=r"2 segmenters have one name \(strongest\): .*more"):
        load_judges(
            EvaluationRequest((Path("made"),), segmenters=(street_segmenter, copy)),
            street_taxonomy,
        )


def test_a_segmenter_that_names_no_classes_is_warned_of(
    street: Path, street_segmenter: Path
) -> None:
    named = judge(street, segmenters=(street_segmenter,)).warnings
    Path(f"{street_segmenter}.json").unlink()

    found = judge(street, segmenters=(street_segmenter,)).warnings

    sentence = "strongest names no classes: its classes are taken by number as those of 'three' (0 "
    assert any(sentence in warning for warning in found)
    assert not any(sentence in warning for warning in named)


def test_a_size_too_small_for_a_network_is_refused_by_name(
    street: Path, monkeypatch: pytest.MonkeyPatch, alexnet: PerceptualNetwork
) -> None:
    judges = Judges((), [alexnet], ())
    monkeypatch.setattr(run, "load_judges", lambda request, taxonomy: (judges, [], []))
    monkeypatch.delattr(run, "evaluate")

    with pytest.raises(ValueError, match="--size is 20x40, and alexnet needs at least 31 pixels"):
        judge(street, size_hw=(20, 40))
    with pytest.raises(ValueError, match="pictures are of 24x36, and alexnet needs at least 31"):
        judge(street)


def test_pictures_too_small_for_ssim_are_refused_before_long_work(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(run, "evaluate")
    for path in street.glob("*/*.png"):
        Image.open(path).resize((12, 8), Image.Resampling.NEAREST).save(path)

    with pytest.raises(ValueError, match="pictures are of 8x12, and SSIM needs at least 11 pixels"):
        judge(street)


@pytest.fixture
def weights_folder(
    monkeypatch: pytest.MonkeyPatch, alexnet: PerceptualNetwork, mean_colors: FeatureNetwork
) -> Callable[..., EvaluationRequest]:
    """Ask for a folder whose files hold AlexNet with heads, or features of the file's name."""

    def ask(perceptual: tuple[str, ...], features: tuple[str, ...]) -> EvaluationRequest:
        files = NetworkFiles((), tuple(map(Path, perceptual)), tuple(map(Path, features)), {})
        monkeypatch.setattr(run, "find_networks", lambda folder, taxonomy: files)
        return EvaluationRequest((Path("made"),), weights=Path("weights"))

    monkeypatch.setattr(run, "read_perceptual", lambda path: alexnet)
    monkeypatch.setattr(run, "load_features", lambda path: replace_name(mean_colors, path.stem))
    return ask


def replace_name(network: FeatureNetwork, name: str) -> FeatureNetwork:
    return replace(network, name=name)  # type: ignore[type-var]


def test_networks_of_one_name_are_refused(
    weights_folder: Callable[..., EvaluationRequest], street_taxonomy: Taxonomy
) -> None:
    asked = weights_folder(("a.npz", "b.npz"), ("vgg.npz",))

    with pytest.raises(
        CheckpointError, match=r"2 networks for features have one name \(alexnet\): a\.npz, b\.npz;"
    ):
        load_judges(asked, street_taxonomy)


def test_inception_comes_first_whatever_its_file_is_called(
    weights_folder: Callable[..., EvaluationRequest], street_taxonomy: Taxonomy
) -> None:
    asked = weights_folder(("a.npz",), ("efficientnet-b0.pth", "inception-v3.pth"))

    judges, files, _ = load_judges(asked, street_taxonomy)

    assert [network.name for network in judges.feature_networks] == [
        "inception-v3", "efficientnet-b0", "alexnet",
    ]  # fmt: skip
    assert [(file.role, file.name, file.path) for file in files] == [
        ("features, LPIPS", "alexnet", "a.npz"),
        ("features", "inception-v3", "inception-v3.pth"),
        ("features", "efficientnet-b0", "efficientnet-b0.pth"),
    ]
