"""One photograph into segments: crops, masks, descriptors and the layout around them."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.interface import LabelledPhotograph
from scenequilt.memory_bank.segment import Box, Region
from scenequilt.memory_bank.store import (
    CROP_MARGIN_PX,
    SEGMENT_DTYPE,
    Codec,
    ShardContents,
    SourceRecord,
    encode_color,
    encode_mask,
    pack_mask,
    segment_id_of,
)

MIN_AREA_PX = 50
"""Smaller regions are left out of a bank, unless asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """The colours of a segment, as a shard holds them.

    Attributes:
        encoded: The compressed crop: JPEG or PNG.
        crop_box: What it covers, (top, left, bottom, right) in pixels of the photograph.
        lab_mean: (3,) CIE L*a*b* (L 0..100) of the segment's own pixels.
        lab_std: (3,) likewise.
    """

    encoded: bytes
    crop_box: Box
    lab_mean: NDArray[np.float32]
    lab_std: NDArray[np.float32]


def cut_photograph(
    photo: LabelledPhotograph,
    source: SourceRecord,
    frame_hw: tuple[int, int],
    *,
    min_area_px: int = MIN_AREA_PX,
    codec: Codec = "jpeg95",
) -> ShardContents:
    """Cut one photograph into segments, ready for a shard but for seal().

    Args:
        photo: The photograph and its layout.
        source: What is to be known of it.
        frame_hw: Size at which masks and layouts are compared.
        min_area_px: Regions of fewer pixels are left out.
        codec: How colour crops are stored.
    """
    import cv2

    from scenequilt.memory_bank.descriptor import resample_labels
    from scenequilt.memory_bank.extract import extract_regions

    bgr = np.asarray(cv2.cvtColor(photo.image, cv2.COLOR_RGB2BGR), np.uint8)
    lab = cv2.cvtColor(photo.image.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2LAB)

    def crop_of(region: Region) -> Crop:
        encoded, crop_box = _color_crop(bgr, region, codec)
        top, left, bottom, right = region.box
        own = region.mask.view(np.uint8)
        mean, std = cv2.meanStdDev(lab[top:bottom, left:right], mask=own)
        return Crop(
            encoded, crop_box, mean.ravel().astype(np.float32), std.ravel().astype(np.float32)
        )

    regions = extract_regions(photo.layout, min_area_px=min_area_px)
    frame_labels = resample_labels(photo.layout.label_map, frame_hw)
    return contents_of(regions, frame_labels, source, crop_of)


def contents_of(
    regions: Sequence[Region],
    frame_labels: NDArray[np.uint8],
    source: SourceRecord,
    crop_of: Callable[[Region], Crop],
) -> ShardContents:
    """Return the regions of one photograph as segments, ready for a shard but for seal().

    Args:
        regions: Of the photograph's layout, in its pixels.
        frame_labels: (frame_h, frame_w) class ids of the layout at frame size.
        source: What is to be known of the photograph.
        crop_of: Gives the colours of a region.
    """
    from scenequilt.memory_bank.descriptor import describe, encode_runs

    height, width = frame_labels.shape
    frame_hw = (height, width)
    described = describe(regions, source.size_hw, frame_hw)
    runs = encode_runs(frame_labels)
    segments = np.zeros(len(regions), SEGMENT_DTYPE)
    colors: list[bytes] = []
    masks: list[bytes] = []
    color_offset = mask_offset = 0
    for segment, region in zip(segments, regions, strict=True):
        packed = pack_mask(region.mask)
        crop = crop_of(region)
        mask = encode_mask(packed)
        segment["segment_id"] = segment_id_of(
            source.image_sha256, region.class_id, region.box, packed
        )
        segment["class_id"] = region.class_id
        segment["cut_by_frame"] = region.cut_by_frame
        segment["instance_id"] = region.instance_id
        segment["box"] = region.box
        segment["crop_box"] = crop.crop_box
        segment["area_px"] = region.area_px
        segment["color_offset"], segment["color_bytes"] = color_offset, len(crop.encoded)
        segment["mask_offset"], segment["mask_bytes"] = mask_offset, len(mask)
        segment["color_crc"], segment["mask_crc"] = zlib.crc32(crop.encoded), zlib.crc32(mask)
        segment["lab_mean"], segment["lab_std"] = crop.lab_mean, crop.lab_std
        color_offset += len(crop.encoded)
        mask_offset += len(mask)
        colors.append(crop.encoded)
        masks.append(mask)
    segments["frame_box"] = described.frame_box
    segments["frame_area"] = described.frame_area
    segments["word_offset"] = described.word_offset[:-1]
    return ShardContents(
        frame_hw=frame_hw,
        sources=(source,),
        segments=segments,
        color=np.frombuffer(b"".join(colors), np.uint8),
        mask=np.frombuffer(b"".join(masks), np.uint8),
        words=described.words,
        cells=described.cells,
        shapes=described.shape,
        run_offset=np.array([0, len(runs.end)], np.int64),
        run_row_offset=runs.row_offset[None],
        run_end=runs.end,
        run_label=runs.label,
    )


def join_contents(frame_hw: tuple[int, int], parts: Sequence[ShardContents]) -> ShardContents:
    """Return several contents as one, sources and segments in the order given."""
    starts = np.cumsum(
        [
            (0, 0, 0, 0, 0),
            *(
                (len(part.sources), len(part.color), len(part.mask), len(part.words),
                 len(part.run_end))
                for part in parts
            ),
        ],
        axis=0,
    )  # fmt: skip
    tables = []
    run_offsets = [np.zeros(1, np.int64)]
    for part, (source, color, mask, word, run) in zip(parts, starts[:-1], strict=True):
        table = part.segments.copy()
        table["source_row"] += source
        table["color_offset"] += color
        table["mask_offset"] += mask
        table["word_offset"] += word
        tables.append(table)
        run_offsets.append(part.run_offset[1:] + run)

    def joined(name: str, empty: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([empty, *(getattr(part, name) for part in parts)])

    return ShardContents(
        frame_hw=frame_hw,
        sources=tuple(source for part in parts for source in part.sources),
        segments=np.concatenate([np.zeros(0, SEGMENT_DTYPE), *tables]),
        color=joined("color", np.zeros(0, np.uint8)),
        mask=joined("mask", np.zeros(0, np.uint8)),
        words=joined("words", np.zeros(0, np.uint64)),
        cells=joined("cells", np.zeros((0, 8, 16), np.uint8)),
        shapes=joined("shapes", np.zeros((0, 16), np.uint64)),
        run_offset=np.concatenate(run_offsets),
        run_row_offset=joined("run_row_offset", np.zeros((0, frame_hw[0] + 1), np.uint32)),
        run_end=joined("run_end", np.zeros(0, np.uint16)),
        run_label=joined("run_label", np.zeros(0, np.uint8)),
    )


def _color_crop(
    bgr: NDArray[np.uint8], region: Region, codec: Codec
) -> tuple[bytes, tuple[int, int, int, int]]:
    height, width = bgr.shape[:2]
    top, left, bottom, right = region.box
    crop_top, crop_left = max(0, top - CROP_MARGIN_PX), max(0, left - CROP_MARGIN_PX)
    crop_bottom = min(height, bottom + CROP_MARGIN_PX)
    crop_right = min(width, right + CROP_MARGIN_PX)
    mask = np.zeros((crop_bottom - crop_top, crop_right - crop_left), np.bool_)
    mask[top - crop_top : bottom - crop_top, left - crop_left : right - crop_left] = region.mask
    color = encode_color(bgr[crop_top:crop_bottom, crop_left:crop_right], mask, codec)
    return color, (crop_top, crop_left, crop_bottom, crop_right)
