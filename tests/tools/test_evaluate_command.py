"""scenequilt evaluate, called as the command line calls it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenequilt.memory_bank.errors import ScenequiltError
from scenequilt.tools.cli import build_parser, main
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.evaluation import allocator, run
from scenequilt.tools.evaluation.perceptual import PLANS
from scenequilt.tools.evaluation.results import PROTOCOL_VERSION

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small pictures are seen faster without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def usual_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of other commands measure memory in this process."""
    monkeypatch.setattr(allocator, "keep_freed_buffers", lambda: False)


def words(street: Path, *more: object) -> list[str]:
    """Judge made/ against the street; what is given replaces what is fixed here."""
    fixed: dict[str, object] = {
        "--generated": street / "made", "--real": street, "--out": street.parent / "report",
        "--workers": 1,
    }  # fmt: skip
    left = [(name, value) for name, value in fixed.items() if name not in more]
    return ["evaluate", *(str(word) for pair in left for word in pair), *map(str, more)]


def evaluate(street: Path, *more: object) -> Outcome:
    args = build_parser().parse_args(words(street, *more))
    outcome: Outcome = args.run(args)
    return outcome


def metrics(street: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((street.parent / "report" / "metrics.json").read_text())
    return table


def test_the_report_has_its_files_and_every_row(street: Path, street_segmenter: Path) -> None:
    outcome = evaluate(street, "--segmenter", street_segmenter, "--seed", 3)

    out = street.parent / "report"
    assert outcome.status == 0
    assert {path.name for path in out.iterdir()} == {"metrics.json", "report.md", "report.html"}
    found = metrics(street)
    assert found["format"] == "scenequilt evaluation"
    assert (found["protocol_version"], found["seed"]) == (PROTOCOL_VERSION, 3)
    assert (found["size_hw"], found["layouts"]) == ([24, 36], 4)
    assert [(row["name"], row["pictures"]) for row in found["rows"]] == [
        ("made", 4), ("real", 4), ("jpeg30", 4), ("nearest", 4), ("random", 4),
    ]  # fmt: skip
    assert [len(file["sha256"]) for file in found["files"]] == [64]
    assert set(found["pictures_sha256"]) == {"made", "labels", "real"}
    for text in (outcome.text, (out / "report.md").read_text(), (out / "report.html").read_text()):
        assert all(name in text for name in ("made", "real", "jpeg30", "nearest", "random"))


def test_photographs_judged_as_pictures_give_zero_one_and_the_ceiling(
    street: Path, street_segmenter: Path
) -> None:
    shutil.copytree(street / "images", street / "copies")

    evaluate(street, "--generated", street / "copies", "--segmenter", street_segmenter)

    row, real, *_ = metrics(street)["rows"]
    assert row["fidelity"][0]["requested"] == real["fidelity"][0]["requested"]
    assert row["fidelity"][0]["of_real"] == 1
    assert row["perception"]["ssim"]["value"] == pytest.approx(1)
    assert row["perception"]["psnr_db"] is None
    assert row["spectrum"]["distance"] == 0
    assert row["seams"]["of_real"] == 1


def test_pictures_that_show_the_layout_are_seen_as_asked(
    street: Path, street_segmenter: Path
) -> None:
    # The segmenter knows road by red, car by green and sky by blue.
    colors = np.zeros((256, 3), np.uint8)
    colors[[8, 26, 7]] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    for path in (street / "labels").glob("*.png"):
        Image.fromarray(colors[np.array(Image.open(path))]).save(street / "made" / path.name)

    evaluate(street, "--segmenter", street_segmenter)

    score = metrics(street)["rows"][0]["fidelity"][0]["requested"]
    assert score["iou"] == {"sky": 1, "road": 1, "car": 1}
    # Four layouts of 24x36 less the void row of "noon".
    assert score["pixels"] == 4 * 24 * 36 - 36


def test_json_prints_metrics_json(
    street: Path, street_segmenter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words(street, "--segmenter", street_segmenter, "--json"))

    assert status == 0
    printed = capsys.readouterr().out
    assert printed == (street.parent / "report" / "metrics.json").read_text()


def test_figures_are_the_same_for_any_batch_and_workers(
    street: Path, street_segmenter: Path, street_bank: Path
) -> None:
    found = []
    for batch, workers in ((1, 1), (3, 4)):
        evaluate(
            street, "--segmenter", street_segmenter, "--bank", street_bank, "--force",
            "--batch", batch, "--workers", workers,
        )  # fmt: skip
        found.append({**metrics(street), "seconds": 0})

    assert found[0] == found[1]


def test_without_networks_it_says_what_is_unmeasured(street: Path) -> None:
    outcome = evaluate(street)

    assert outcome.status == 0
    assert set(metrics(street)["unmeasured"]) == {"layout fidelity", "distribution", "LPIPS"}
    assert "not measured: layout fidelity: no segmenter was given; train one with" in outcome.text
    assert "not measured: LPIPS: no network with LPIPS heads was given" in outcome.text
    assert metrics(street)["rows"][0]["perception"]["ssim"]["value"] < 0.9


def test_a_folder_of_weights_gives_lpips_and_distances_of_its_network(
    street: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(2)
    arrays: dict[str, Any] = {}
    for place, part in enumerate(PLANS["alexnet"]):
        spread = (2 / np.prod(part.shape[1:])) ** 0.5
        weight = generator.standard_normal(part.shape, np.float32) * spread
        arrays[f"conv{place}.weight"] = weight.astype(np.float16)
        arrays[f"conv{place}.bias"] = np.zeros(part.shape[0], np.float16)
        arrays[f"lpips_lin{place}"] = np.ones(part.shape[0], np.float16)
    (tmp_path / "weights").mkdir()
    np.savez(tmp_path / "weights" / "net.npz", **arrays)

    evaluate(street, "--weights", tmp_path / "weights", "--size", "48x72")

    found = metrics(street)
    row, real, jpeg, *_ = found["rows"]
    assert found["size_hw"] == [48, 72]
    report = (street.parent / "report" / "report.md").read_text()
    assert "By LPIPS alexnet of each picture to its photograph." in report
    assert "dusk: LPIPS alexnet 0." in report
    assert row["distribution"][0]["frechet_name"] == "FD-AlexNet"
    assert row["distribution"][0]["warning"]
    assert real["perception"]["lpips"]["alexnet"]["value"] == pytest.approx(0, abs=1e-9)
    lpips = [each["perception"]["lpips"]["alexnet"]["value"] for each in (jpeg, row)]
    assert 0 < lpips[0] < lpips[1]


def test_partial_goes_on_names_what_was_left_out_and_leaves_with_1(street: Path) -> None:
    (street / "made" / "dusk.png").unlink()
    shutil.copy(street / "made" / "noon.png", street / "made" / "odd.png")

    outcome = evaluate(street, "--partial", "--labels", street / "labels")

    assert outcome.status == 1
    assert set(metrics(street)["left_out"]) == {"dusk", "odd"}
    assert "left out: dusk: " in outcome.text
    assert "left out: odd: " in outcome.text
    assert metrics(street)["layouts"] == 3


def test_a_part_of_a_dataset_is_judged_with_status_0(street: Path) -> None:
    (street / "made" / "dusk.png").unlink()

    outcome = evaluate(street)

    assert outcome.status == 0
    assert metrics(street)["layouts"] == 3
    assert "warning: 1 layout of the dataset" in outcome.text


def test_variants_in_folders_of_their_layout_are_judged_each(street: Path) -> None:
    (street / "made" / "noon").mkdir()
    (street / "made" / "noon.png").rename(street / "made" / "noon" / "00.png")
    shutil.copy(street / "made" / "dusk.png", street / "made" / "noon" / "01.png")

    evaluate(street)

    row = metrics(street)["rows"][0]
    assert row["pictures"] == 5
    assert [(each["name"], each["layout"]) for each in row["each"]][3:] == [
        ("noon/00", "noon"), ("noon/01", "noon"),
    ]  # fmt: skip


def test_several_systems_stand_in_one_table(street: Path, street_segmenter: Path) -> None:
    shutil.copytree(street / "images", street / "copies")

    outcome = evaluate(
        street, "--generated", street / "made", street / "copies", "--name", "ours", "copies",
        "--segmenter", street_segmenter,
    )  # fmt: skip

    rows = metrics(street)["rows"]
    assert [row["name"] for row in rows][:3] == ["ours", "copies", "real"]
    assert rows[0]["fidelity"][0]["of_real"] != 1
    assert rows[1]["fidelity"][0]["of_real"] == 1
    assert "copies" in outcome.text


def test_systems_may_be_given_one_by_one(street: Path) -> None:
    shutil.copytree(street / "images", street / "copies")

    evaluate(
        street, "--generated", street / "made", "--name", "ours", "--generated", street / "copies",
        "--name", "theirs",
    )  # fmt: skip

    assert [row["name"] for row in metrics(street)["rows"]][:2] == ["ours", "theirs"]


def test_a_run_of_compose_brings_its_layouts_and_its_record(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    run_command("compose", *toytown_layouts[:2], "--bank", toytown_bank, "--out", made)

    evaluate(
        made, "--generated", made, "--real", toytown_layouts[0].parents[2],
        "--bank", toytown_bank,
    )  # fmt: skip

    found = metrics(made)
    row = found["rows"][0]
    assert (row["pictures"], found["size_hw"]) == (2, [64, 128])
    assert sum(row["provenance"]["states"].values()) == pytest.approx(1)
    assert row["provenance"]["agreement"] > 0.5
    assert row["provenance"]["sources"] >= 1
    assert row["seams"]["ownership"] > 0
    assert [file["role"] for file in found["files"]] == ["bank"]


def _other_size(street: Path) -> None:
    Image.new("RGB", (30, 20)).save(street / "made" / "dusk.png")


def _no_pair(street: Path) -> None:
    (street / "made" / "dusk.png").unlink()
    (street / "images" / "noon.png").unlink()


def _one_layout(street: Path) -> None:
    for folder in ("made", "images", "labels"):
        for name in ("dawn", "dusk", "night"):
            (street / folder / f"{name}.png").unlink()


def _other_classes(street: Path) -> None:
    table = json.loads((street / "classes.json").read_text())
    table["classes"][2]["name"] = "tram"
    (street / "other.json").write_text(json.dumps(table))


def _other_arrays(street: Path) -> None:
    (street / "weights").mkdir()
    arrays: dict[str, Any] = {"conv0.weight": np.zeros((8, 3, 3, 3))}
    np.savez(street / "weights" / "net.npz", **arrays)


def _other_scores(street: Path) -> None:
    names = json.dumps({"classes": ["road", "tram", "sky"]})
    (street.parent / "strongest.onnx.json").write_text(names)


def _unknown_label(street: Path) -> None:
    labels = np.full((24, 36), 99, np.uint8)
    Image.fromarray(labels).save(street / "labels" / "dusk.png")


def _somebody_elses(street: Path) -> None:
    (street.parent / "report").mkdir()
    (street.parent / "report" / "thesis.tex").write_text("x")


def _cut_off(street: Path) -> None:
    path = street / "made" / "dusk.png"
    path.write_bytes(path.read_bytes()[:-40])


def _nothing(street: Path) -> None:
    """Leave everything as it is."""


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (_other_size, (), r"1 of 4 pictures are not 24x36 .*'dusk' 20x30; --size 24x36 brings"),
        (
            _no_pair,
            ("--labels", "{street}/labels"),
            r"1 layout has no picture .*made \(dusk\); 1 layout has no photograph .*\(noon\);.*--par",
        ),
        (_one_layout, (), "1 of 1 layouts can be judged, expected at least 2"),
        (
            _other_classes,
            ("--classes", "{street}/other.json"),
            r"class tables differ: .*3 classes .*only in the first: car; only in the second: tram",
        ),
        (
            _other_arrays,
            ("--segmenter", "{street}/weights/net.npz"),
            r"net\.npz holds 1 convolutions, the first 8x3x3x3; expected a segmenter",
        ),
        (
            _other_arrays,
            ("--weights", "{street}/weights"),
            r"weights has no network that can judge pictures of 3 classes: .*8x3x3x3.*VGG-16",
        ),
        (_nothing, ("--weights", "{street}/nowhere"), "nowhere does not exist; expected a file"),
        (
            _other_scores,
            ("--segmenter", "{street}/../strongest.onnx"),
            "3 classes .*missing: car, too many: tram; give a segmenter of these classes",
        ),
        (_unknown_label, (), r"labels/dusk\.png.*99"),
        (_nothing, ("--generated", "{street}/nowhere"), "--generated .*nowhere does not exist"),
        (
            _nothing,
            ("--real", "{street}/nowhere"),
            "--real .*nowhere does not exist; expected a fol",
        ),
        (
            _nothing,
            ("--real", "{street}/nowhere", "--labels", "{street}"),
            "--real .*nowhere does not exist; expected a folder",
        ),
        (_nothing, ("--bank", "{street}"), "street.*bank"),
        (_nothing, ("--name", "real"), "--name 'real' is taken by a calibration row"),
        (_nothing, ("--name", "labels"), "--name 'labels' is taken by .*the label maps"),
        (_nothing, ("--name", "a", "b"), "--name is given 2 times for 1 folders"),
        (_somebody_elses, (), "report: not empty and no folder of an earlier evaluation"),
        (_nothing, ("--out", "{street}/classes.json/report"), "cannot be written .*another --out"),
        (_nothing, ("--size", "8x8"), "--size is 8x8, expected at least 11 pixels a side"),
        (_cut_off, (), r"made/dusk\.png: picture is damaged .*--partial"),
        (_nothing, ("--shown", "-1"), "--shown is -1, expected at least 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(
    street: Path,
    street_segmenter: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    more: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.delattr(run, "evaluate")
    assert street_segmenter.parent == street.parent
    spoil(street)

    with pytest.raises((ScenequiltError, ValueError), match=message):
        evaluate(street, *(word.format(street=street) for word in more))

    assert not (street.parent / "report" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("--size", "24", "'24' is not a size; give height x width"),
        ("--batch", "0", "'0' is not a whole number of at least 1"),
        ("--workers", "0", "'0' is not a whole number of at least 1"),
        ("--seed", "-1", "'-1' is not a whole number from 0 to below 2^63"),
    ],
)
def test_values_that_are_no_values_are_refused(
    street: Path, capsys: pytest.CaptureFixture[str], argument: str, value: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        evaluate(street, f"{argument}={value}")

    assert message in capsys.readouterr().err


def test_an_earlier_report_is_replaced_only_by_force(street: Path) -> None:
    evaluate(street)

    with pytest.raises(ValueError, match="report: holds an earlier evaluation; --force replaces"):
        evaluate(street)
    evaluate(street, "--force", "--seed", 4)

    assert metrics(street)["seed"] == 4


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.realweights
def test_six_pictures_of_camvid_by_the_given_networks(
    real_data: Path, real_weights: Path, tmp_path: Path
) -> None:
    # Photographs as pictures: the given segmenter has seen them, and reaches a high ceiling.
    camvid = real_data / "camvid"
    folders = [tmp_path / name for name in ("street", "copies")]
    for folder in folders:
        folder.mkdir()
    for path in sorted((camvid / "images" / "val").glob("*"))[:90:15]:
        shutil.copy(path, folders[1])
    found = {}
    for batch, workers in ((1, 1), (2, 2), (3, 1)):
        outcome = evaluate(
            folders[0], "--generated", folders[1], "--real", camvid, "--weights", real_weights,
            "--batch", batch, "--workers", workers, "--force",
        )  # fmt: skip
        found[batch, workers] = metrics(folders[0])

    first = found[1, 1]
    row, real, jpeg, nearest, random = first["rows"]
    assert outcome.status == 0
    assert row["pictures"] == 6
    assert row["fidelity"][0]["of_real"] == 1
    assert real["fidelity"][0]["requested"]["mean_iou"]["value"] > 0.6
    for head in ("alexnet", "vgg16"):
        value = {each["name"]: each["perception"]["lpips"][head]["value"] for each in first["rows"]}
        assert value["copies"] == pytest.approx(0, abs=1e-6)
        assert 0 < value["jpeg30"] < value["nearest"] < value["random"]
    assert row["distribution"][0]["frechet"]["value"] == pytest.approx(0, abs=1e-4)
    assert jpeg["fidelity"][0]["of_real"] > nearest["fidelity"][0]["of_real"]
    assert random["seams"]["of_real"] > 0
    for other in found.values():
        for one, same in zip(first["rows"], other["rows"], strict=True):
            for part in ("fidelity", "distribution", "perception", "seams"):
                assert numbers(same[part]) == pytest.approx(numbers(one[part]), rel=5e-5, abs=1e-6)


def numbers(value: object) -> list[float]:
    """Every number of a JSON value, in order."""
    if isinstance(value, dict):
        return [each for key in sorted(value) for each in numbers(value[key])]
    if isinstance(value, list):
        return [each for item in value for each in numbers(item)]
    return [value] if isinstance(value, int | float) else []
