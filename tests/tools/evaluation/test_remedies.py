"""Remedies of label files name options of evaluate only."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.datasets.files import decode_colors, decode_ids, read_raster
from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.remedies import without_reader_options


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (np.full((24, 36), 255, np.uint8), "list 255 in void_ids with --classes FILE"),
        (np.full((24, 36), 99, np.uint8), "write the file again with hard borders"),
        (np.full((24, 36, 3), (1, 2, 3), np.uint8), "write its class ids in one channel"),
    ],
)
def test_no_option_of_a_reader_is_advised(
    values: NDArray[np.uint8], remedy: str, street_taxonomy: Taxonomy, tmp_path: Path
) -> None:
    Image.fromarray(values).save(tmp_path / "a.png")
    taxonomy = replace(street_taxonomy, void_file_ids=(0,))

    with pytest.raises(LabelError) as refused:
        decode_ids(read_raster(tmp_path / "a.png", "label map"), taxonomy)

    message = without_reader_options(str(refused.value))
    assert remedy in message
    assert "--repair" not in message and "--reader" not in message


def test_colours_of_no_class_are_to_be_written_again(
    street_taxonomy: Taxonomy, tmp_path: Path
) -> None:
    Image.new("RGB", (36, 24), (1, 2, 3)).save(tmp_path / "a.png")

    with pytest.raises(LabelError) as refused:
        decode_colors(read_raster(tmp_path / "a.png", "label map"), street_taxonomy, (), "none")

    message = without_reader_options(str(refused.value))
    assert message.endswith("write the file again with hard borders")
