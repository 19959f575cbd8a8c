"""Edits of objects as a person names them on the command line."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from scenequilt.memory_bank.layout import Layout
    from scenequilt.synthesis.manipulation import Scene

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Addition:
    """An object to paste.

    Attributes:
        mask: Picture of its outline: everything above 127 is of the object.
        class_name: Its class.
        corner: (top, left) in pixels.
    """

    mask: Path
    class_name: str
    corner: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneEdits:
    """What is done to every layout, in this order.

    Attributes:
        remove: Numbers of instances to take out.
        relabel: (number, class) of instances to make others of.
        add: Objects to paste in front of all.
        restyle: (number, style) of instances; style is a place among those of the class.
    """

    remove: Sequence[int] = ()
    relabel: Sequence[tuple[int, str]] = ()
    add: Sequence[Addition] = ()
    restyle: Sequence[tuple[int, int]] = ()

    def applied(self, layout: "Layout") -> "Scene":
        """Return the scene that comes of a layout.

        Raises:
            DatasetError: If a mask cannot be read.
            ValueError: If an edit does not fit the layout.
        """
        from scenequilt.memory_bank.datasets.files import read_photograph
        from scenequilt.synthesis.manipulation import (
            Scene,
            add_object,
            relabel_instance,
            remove_instance,
            restyle_instance,
        )

        scene = Scene(layout)
        for instance_id in self.remove:
            scene = remove_instance(scene, instance_id)
        for instance_id, class_name in self.relabel:
            scene = relabel_instance(scene, instance_id, class_name)
        for item in self.add:
            mask = read_photograph(item.mask).max(axis=2) > 127
            scene = add_object(scene, mask, item.corner, item.class_name)
        for instance_id, style in self.restyle:
            scene = restyle_instance(scene, instance_id, style)
        return scene


def add_edit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a command that makes pictures of layouts."""
    edits = parser.add_argument_group(
        "edits",
        "of every layout, in the order of this list; numbers of instances are those of instances/, "
        "or of connected components in reading order where there is no instance map",
    )
    edits.add_argument(
        "--remove", type=int, action="append", default=[], metavar="ID",
        help="take an object out; what is around it goes on behind it",
    )  # fmt: skip
    edits.add_argument(
        "--relabel", type=_numbered("CLASS", str), action="append", default=[], metavar="ID=CLASS",
        help="make an object of another class of it, with a new number",
    )  # fmt: skip
    edits.add_argument(
        "--add", type=_addition, action="append", default=[], metavar="CLASS=MASK.png@TOP,LEFT",
        help="paste an object, whose outline is white in a picture, with its corner at that pixel",
    )  # fmt: skip
    edits.add_argument(
        "--restyle", type=_numbered("STYLE", int), action="append", default=[], metavar="ID=STYLE",
        help="choose a style of its class for an object, counted from 0; for pix2pixhd with an "
        "encoder",
    )  # fmt: skip


def edits_of(args: argparse.Namespace) -> SceneEdits:
    """Return what the arguments say."""
    return SceneEdits(remove=args.remove, relabel=args.relabel, add=args.add, restyle=args.restyle)


def _numbered(what: str, kind: Callable[[str], Value]) -> Callable[[str], tuple[int, Value]]:
    def parse(text: str) -> tuple[int, Value]:
        number, equals, value = text.partition("=")
        try:
            if not equals or not value:
                raise ValueError
            return int(number), kind(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"{text!r} is none of ID={what}; give the number of an instance, e.g. 3={what}"
            ) from error

    return parse


def _addition(text: str) -> Addition:
    class_name, equals, rest = text.partition("=")
    path, at, corner = rest.rpartition("@")
    top, comma, left = corner.partition(",")
    try:
        if not (equals and at and comma and class_name and path):
            raise ValueError
        return Addition(Path(path), class_name, (int(top), int(left)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of CLASS=MASK.png@TOP,LEFT; give e.g. car=car.png@120,40"
        ) from error
