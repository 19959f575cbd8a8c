"""The cells of the tables."""

from dataclasses import replace

import pytest

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.rounding import DASH
from scenequilt.tools.evaluation.report.tables import (
    Table,
    class_table,
    columns_in_words,
    distribution_table,
    fidelity_table,
    main_table,
    perception_table,
    pictures_table,
    provenance_table,
    rows_in_words,
    seams_at_classes,
    seams_table,
    spectrum_table,
)
from scenequilt.tools.evaluation.results import Distribution, Evaluation, Interval

QUOTED = "cgnet 0016E5+0001TP"


def texts(table: Table, line: int) -> dict[str, str]:
    """Cells of a line by heading."""
    return {
        column.heading: cell.text
        for column, cell in zip(table.columns, table.lines[line], strict=True)
    }


def test_the_main_table_starts_with_the_system_and_quotes_the_first_of_everything(
    evaluation: Evaluation,
) -> None:
    assert texts(main_table(evaluation), 0) == {
        "row": "closed form",
        "mIoU": "0.557",
        "of real": "0.880",
        "pixel acc.": "0.876",
        "FD-VGG16": "36.2",
        "KD-VGG16": "0.0470",
        "LPIPS alex": "0.2200",
        "LPIPS vgg": "0.2486",
        "SSIM": "0.7800",
        "PSNR dB": "24.33",
        "spectrum": "0.068",
        "seams": "0.875",
    }


def test_only_the_miou_of_the_main_table_has_bounds(evaluation: Evaluation) -> None:
    bounds = [cell.bounds for cell in main_table(evaluation).lines[0]]

    assert bounds == ["", "0.543–0.570", *[""] * 10]


def test_the_photographs_are_the_whole_of_themselves(evaluation: Evaluation) -> None:
    real = texts(main_table(evaluation), 1)

    assert real["row"] == "real"
    assert real["of real"] == "1"


def test_what_was_not_measured_is_a_dash(bare: Evaluation) -> None:
    cells = texts(main_table(bare), 0)

    assert cells.pop("row") == "closed form"
    assert set(cells.values()) == {DASH}
    assert list(cells)[3:5] == ["Fréchet", "kernel"], "no network gives the distances a name"


def test_every_table_of_an_evaluation_without_figures_can_be_made(bare: Evaluation) -> None:
    made = [
        perception_table(bare),
        spectrum_table(bare),
        seams_table(bare),
        provenance_table(bare),
        class_table(bare, "cgnet"),
        pictures_table(bare),
    ]

    assert [table.has_dashes for table in made] == [True, True, True, True, False, False]


def test_classes_stand_in_the_order_and_colours_of_the_taxonomy(
    evaluation: Evaluation, taxonomy: Taxonomy
) -> None:
    backwards = replace(taxonomy, classes=taxonomy.classes[::-1])

    table = class_table(evaluation, QUOTED, taxonomy=backwards)

    assert [line[0].text for line in table.lines][:3] == ["bicyclist", "pedestrian", "car"]
    assert table.lines[0][0].color == (0, 128, 192)


def test_a_class_that_the_taxonomy_does_not_name_comes_last(
    evaluation: Evaluation, taxonomy: Taxonomy
) -> None:
    without_sky = replace(taxonomy, classes=taxonomy.classes[1:])

    table = class_table(evaluation, QUOTED, taxonomy=without_sky)

    assert table.lines[-1][0].text == "sky"
    assert table.lines[-1][0].color is None


def test_the_systems_share_of_a_class_is_of_the_photographs(evaluation: Evaluation) -> None:
    pole = texts(class_table(evaluation, QUOTED), 2)

    assert pole["class"] == "pole"
    assert (pole["closed form"], pole["real"]) == ("0.238", "0.270")
    assert pole["of real"] == "0.880"


def test_every_system_has_its_share_of_the_photographs(evaluation: Evaluation) -> None:
    second = replace(evaluation.rows[0], name="spade")
    both = replace(evaluation, rows=[evaluation.rows[0], second, *evaluation.rows[1:]])

    headings = [column.heading for column in class_table(both, QUOTED).columns]

    assert headings[:6] == ["class", "closed form", "of real", "spade", "of real", "real"]
    assert headings.count("of real") == 2


@pytest.mark.parametrize(("iou", "is_shared"), [(0.0, False), (0.049, False), (0.05, True)])
def test_a_class_that_is_hardly_found_in_photographs_has_no_share(
    evaluation: Evaluation, iou: float, is_shared: bool
) -> None:
    real = evaluation.rows[1]
    score = real.fidelity[0].requested
    unseen = replace(score, iou={**score.iou, "pole": iou})
    fidelity = [replace(real.fidelity[0], requested=unseen), real.fidelity[1]]
    rows = [evaluation.rows[0], replace(real, fidelity=fidelity)]

    for measure in ("iou", "accuracy"):
        table = class_table(replace(evaluation, rows=rows), QUOTED, measure=measure)
        assert (texts(table, 2)["of real"] != DASH) == is_shared
        assert texts(table, 3)["of real"] != DASH


def test_columns_in_which_nothing_was_measured_are_left_out(
    evaluation: Evaluation, bare: Evaluation
) -> None:
    fidelity = fidelity_table(replace(evaluation, rows=evaluation.rows[2:3]), QUOTED)
    headings = [column.heading for column in fidelity.without_empty_columns().columns]

    assert headings == ["row", "mIoU", "of real", "mean acc.", "pixel acc.", "pixels"]
    assert not fidelity.is_empty
    assert main_table(bare).is_empty
    assert perception_table(bare).is_empty


def test_rows_without_ownership_maps_say_where_their_seams_are(
    evaluation: Evaluation, bare: Evaluation
) -> None:
    assert seams_at_classes(evaluation) == (
        "Seams of real, jpeg30, nearest, random, where no two owners are known to meet: at class "
        "borders."
    )
    assert seams_at_classes(evaluation) in columns_in_words(evaluation)
    assert seams_at_classes(bare) == ""


def test_rows_say_in_their_titles_where_they_come_from(evaluation: Evaluation) -> None:
    named = replace(evaluation.rows[0], title="closed form: the pictures in made")
    words = dict(rows_in_words(replace(evaluation, rows=[named, *evaluation.rows[1:]])))

    assert words["closed form"] == "the pictures in made"
    assert words["nearest"] == "Nearest photograph of the bank"
    assert words["random"] == "Random segments of the same class"
    assert words["real"].startswith("the photographs themselves, judged the same way")


def test_a_row_without_delivered_layouts_has_dashes_there(evaluation: Evaluation) -> None:
    jpeg = texts(fidelity_table(evaluation, QUOTED), 2)

    assert jpeg["row"] == "jpeg30"
    assert jpeg["delivered mIoU"] == DASH
    assert jpeg["mIoU"] != DASH


def test_a_row_that_lacks_the_first_network_takes_no_figure_of_another(
    evaluation: Evaluation,
) -> None:
    random = evaluation.rows[-1]
    rows = [*evaluation.rows[:-1], replace(random, distribution=random.distribution[1:])]
    without = replace(evaluation, rows=rows)

    assert texts(distribution_table(without, "vgg16"), 4)["FD-VGG16"] == DASH
    assert texts(main_table(without), 4)["FD-VGG16"] == DASH


def test_a_row_that_lacks_the_first_segmenter_takes_no_figure_of_another(
    evaluation: Evaluation,
) -> None:
    random = evaluation.rows[-1]
    rows = [*evaluation.rows[:-1], replace(random, fidelity=random.fidelity[1:])]
    without = replace(evaluation, rows=rows)

    assert texts(main_table(without), 4)["mIoU"] == DASH
    assert texts(class_table(without, QUOTED), 0)["random"] == DASH
    assert texts(fidelity_table(without, "cgnet camvid"), 4)["mIoU"] == "0.372"


def test_a_network_is_called_what_its_record_says(evaluation: Evaluation) -> None:
    row = evaluation.rows[0]
    inception = Distribution(
        "inception-v3",
        "FID",
        "KID",
        Interval(61.0, 58.0, 64.0),
        Interval(0.02, 0.01, 0.03),
        101,
        101,
        "",
    )
    only = replace(evaluation, rows=[replace(row, distribution=[inception])])

    headings = [column.in_words for column in distribution_table(only, "inception-v3").columns]

    assert headings == ["row", "FID ↓", "KID ↓", "pictures", "photographs"]


@pytest.mark.parametrize("heading", ["variants alex", "variant pairs"])
def test_variants_have_columns_only_where_there_are_any(
    evaluation: Evaluation, bare: Evaluation, heading: str
) -> None:
    assert heading in texts(perception_table(evaluation), 0)
    assert heading not in texts(perception_table(bare), 0)
