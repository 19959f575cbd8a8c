"""Boundaries of objects and regions, by hand."""

import torch

from scenequilt.synthesis.boundaries import boundary_map


def _drawn(edges: torch.Tensor) -> list[str]:
    return ["".join(".#"[int(value)] for value in row) for row in edges[0, 0]]


def test_a_border_of_two_classes_is_two_pixels_wide() -> None:
    labels = torch.tensor([[[0, 0, 0, 1, 1, 1]] * 3], dtype=torch.uint8)

    edges = boundary_map(labels, torch.zeros(1, 3, 6, dtype=torch.int32))

    assert _drawn(edges) == ["..##.."] * 3


def test_two_objects_of_a_class_have_a_border() -> None:
    labels = torch.full((1, 4, 3), 2, dtype=torch.uint8)
    instances = torch.tensor([[[1] * 3, [1] * 3, [2] * 3, [2] * 3]], dtype=torch.int32)

    assert _drawn(boundary_map(labels, instances)) == ["...", "###", "###", "..."]


def test_a_lone_pixel_and_its_four_neighbours_are_on() -> None:
    labels = torch.zeros(1, 5, 5, dtype=torch.uint8)
    labels[0, 2, 2] = 1

    edges = boundary_map(labels, torch.zeros(1, 5, 5, dtype=torch.int32))

    assert _drawn(edges) == [".....", "..#..", ".###.", "..#..", "....."]


def test_a_batch_is_its_pictures() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 6, 7), generator=draw)
    instances = torch.randint(0, 3, (2, 6, 7), generator=draw)

    whole = boundary_map(labels, instances)

    assert whole.shape == (2, 1, 6, 7) and whole.dtype == torch.bool
    for place in range(2):
        alone = boundary_map(labels[place : place + 1], instances[place : place + 1])
        assert alone.equal(whole[place : place + 1])
