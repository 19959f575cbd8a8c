"""A folder of toytown pictures in the plain form that any reader of ours takes."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
from scenequilt.memory_bank.toytown.scene import ToytownScene, render_scene

PICTURES_PER_TOWN = 10
"""Pictures that share hour, weather and style: one sequence."""

LICENCE = "CC0-1.0"
ADDRESS = "scenequilt toytown"

_VAL_SHARE = 8


@dataclass(frozen=True, slots=True)
class ToytownSummary:
    """What write_dataset wrote.

    Attributes:
        folder: The dataset.
        train: Pictures of the split train.
        val: Pictures of the split val.
        sequences: Towns of both.
    """

    folder: Path
    train: int
    val: int
    sequences: int


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    split: str
    sequence: str
    seed: int
    street_seed: int


def write_dataset(
    out: Path,
    *,
    count: int,
    seed: int,
    size_hw: tuple[int, int] = (256, 512),
    progress: Callable[[int, int], None] | None = None,
) -> ToytownSummary:
    """Write pictures of toytown as a plain dataset folder.

    images/SPLIT/NAME.jpg (quality 95, 4:4:4), labels/SPLIT/NAME.png (8 bit), instances/SPLIT/NAME.png
    (16 bit), depth/SPLIT/NAME.png (16 bit, millimetres, 0 = unknown or beyond 65 m),
    occlusion/SPLIT/NAME.json (objects back to front), sources.csv, and last classes.json, without
    which the folder is no dataset. Every file appears under its name only when it is whole.

    One picture in eight is val, from towns of its own. A picture depends on the seed and on its
    place in its split, not on the count.

    Args:
        out: Folder to make; must not exist, or be empty.
        count: Pictures, at least 1.
        seed: What everything is drawn from, >= 0.
        size_hw: (height, width) of the pictures in pixels.
        progress: Called with (pictures done, count) after each picture.

    Raises:
        DatasetError: If out holds anything, or is a file.
        ValueError: If count, seed or size is out of range.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected 1 or more")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file, expected a folder to make; name another")
    if out.is_dir() and any(out.iterdir()):
        raise DatasetError(
            f"{out} is not empty; name another folder, or remove this one first: "
            "toytown never writes over files"
        )
    pictures = list(_pictures(count, seed))
    for picture in pictures:
        for part in ("images", "labels", "instances", "depth", "occlusion"):
            (out / part / picture.split).mkdir(parents=True, exist_ok=True)
    for done, picture in enumerate(pictures, start=1):
        scene = render_scene(picture.seed, size_hw, street_seed=picture.street_seed)
        _write_scene(out, picture, scene)
        if progress is not None:
            progress(done, count)
    _write(out / "sources.csv", _sources(pictures))
    _write(out / "classes.json", json.dumps(TOYTOWN_TAXONOMY.as_json(), indent=1).encode())
    return ToytownSummary(
        out,
        sum(picture.split == "train" for picture in pictures),
        sum(picture.split == "val" for picture in pictures),
        len({picture.sequence for picture in pictures}),
    )


def _pictures(count: int, seed: int) -> Iterator[_Picture]:
    val = 0 if count < 2 else max(1, round(count / _VAL_SHARE))
    for split_number, (split, size, town_name) in enumerate(
        (("train", count - val, "town"), ("val", val, "valtown"))
    ):
        for index in range(size):
            town = index // PICTURES_PER_TOWN
            yield _Picture(
                f"{town_name}{town:02d}_{index:06d}",
                split,
                f"{town_name}-{town:02d}",
                _derived_seed(seed, split_number, index, 0),
                _derived_seed(seed, split_number, town, 1),
            )


def _derived_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _write_scene(out: Path, picture: _Picture, scene: ToytownScene) -> None:
    layout = scene.layout
    depth_m = np.zeros(layout.size_hw, np.float32) if layout.depth_m is None else layout.depth_m
    depth_mm = np.rint(depth_m * 1000)
    depth_mm[depth_mm > 65535] = 0
    fine = [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    image = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    place = Path(picture.split) / picture.name
    labels = TOYTOWN_TAXONOMY.encode(layout.label_map).astype(np.uint8)
    _write_image(out / "images" / place.with_suffix(".jpg"), image, fine)
    _write_image(out / "labels" / place.with_suffix(".png"), labels, fast)
    instances = layout.instance_map.astype(np.uint16)
    _write_image(out / "instances" / place.with_suffix(".png"), instances, fast)
    _write_image(out / "depth" / place.with_suffix(".png"), depth_mm.astype(np.uint16), fast)
    _write(
        out / "occlusion" / place.with_suffix(".json"),
        json.dumps(_occlusion(picture, scene), indent=1).encode(),
    )


def _occlusion(picture: _Picture, scene: ToytownScene) -> dict[str, object]:
    things = set(np.unique(scene.layout.instance_map).tolist()) - {0}
    return {
        "picture": picture.name,
        "seed": scene.seed,
        "street_seed": scene.street_seed,
        "time_of_day": scene.time_of_day,
        "weather": scene.weather,
        "back_to_front": [
            {
                "object_id": item.object_id,
                "class": "void"
                if item.class_id == VOID
                else TOYTOWN_TAXONOMY.classes[item.class_id].name,
                "instance_id": item.object_id if item.object_id in things else 0,
                "depth_m": round(item.depth_m, 3),
                "visible_px": item.visible_px,
            }
            for item in scene.occlusion_order
        ],
    }


def _sources(pictures: list[_Picture]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["split", "name", "sequence", "licence", "address"])
    for picture in pictures:
        writer.writerow([picture.split, picture.name, picture.sequence, LICENCE, ADDRESS])
    return text.getvalue().encode()


def _write_image(path: Path, image: cv2.typing.MatLike, settings: list[int]) -> None:
    encoded, payload = cv2.imencode(path.suffix, image, settings)
    if not encoded:
        raise DatasetError(f"{path} could not be encoded as {path.suffix}")
    _write(path, payload.tobytes())


def _write(path: Path, payload: bytes) -> None:
    """Write a file under another name and give it its own once it is whole."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(payload)
    os.replace(unfinished, path)
