"""The occlusion graph: cycles, their weakest edges, and the order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.ordering.graph import GraphEdge, break_cycles, find_cycle, sort_back_to_front


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[GraphEdge]]:
    """Draw a graph with at most one edge for a pair of nodes."""
    count = draw(st.integers(2, 8))
    edges = []
    for first in range(count):
        for second in range(first + 1, count):
            way = draw(st.sampled_from([None, (first, second), (second, first)]))
            if way is not None:
                confidence = draw(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]))
                edges.append(GraphEdge(way[0], way[1], confidence))
    return count, edges


def test_a_chain_is_sorted_from_back_to_front() -> None:
    edges = [GraphEdge(0, 1, 0.5), GraphEdge(1, 2, 0.5)]

    assert sort_back_to_front(3, edges, [0, 1, 2]) == [2, 1, 0]


def test_without_edges_the_tie_break_sorts() -> None:
    assert sort_back_to_front(3, [], [0.3, 0.1, 0.2]) == [1, 2, 0]


def test_a_cycle_of_three_loses_its_weakest_edge() -> None:
    edges = [GraphEdge(0, 1, 0.9), GraphEdge(1, 2, 0.2), GraphEdge(2, 0, 0.8)]

    kept, broken = break_cycles(3, edges, [0, 1, 2])

    assert (kept, broken) == ([0, 2], [1])
    assert sort_back_to_front(3, [edges[index] for index in kept], [0, 1, 2]) == [1, 0, 2]


def test_two_cycles_that_share_their_weakest_edge_lose_only_it() -> None:
    edges = [
        GraphEdge(0, 1, 0.1),
        GraphEdge(1, 2, 0.9),
        GraphEdge(2, 0, 0.8),
        GraphEdge(1, 3, 0.7),
        GraphEdge(3, 0, 0.6),
    ]

    _, broken = break_cycles(4, edges, [0, 1, 2, 3])

    assert broken == [0]


@given(graphs())
def test_what_is_kept_has_no_cycle(graph: tuple[int, list[GraphEdge]]) -> None:
    count, edges = graph

    kept, _ = break_cycles(count, edges, range(count))

    assert find_cycle(count, [edges[index] for index in kept]) == []


@given(graphs())
def test_nothing_is_given_up_that_could_have_stayed(graph: tuple[int, list[GraphEdge]]) -> None:
    count, edges = graph

    kept, broken = break_cycles(count, edges, range(count))

    for given_up in broken:
        stronger = [
            edges[index] for index in kept if edges[index].confidence >= edges[given_up].confidence
        ]
        assert find_cycle(count, [*stronger, edges[given_up]])


@given(graphs(), st.randoms(use_true_random=False))
def test_numbering_the_nodes_otherwise_gives_the_same_order(
    graph: tuple[int, list[GraphEdge]], random: object
) -> None:
    count, edges = graph
    numbers = list(range(count))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    renumbered = [
        GraphEdge(numbers[edge.front], numbers[edge.back], edge.confidence) for edge in edges
    ]
    names = list(range(count))
    moved_names = [0] * count
    for node, number in enumerate(numbers):
        moved_names[number] = names[node]

    kept, _ = break_cycles(count, edges, names)
    order = sort_back_to_front(count, [edges[index] for index in kept], names)
    kept, _ = break_cycles(count, renumbered, moved_names)
    moved = sort_back_to_front(count, [renumbered[index] for index in kept], moved_names)

    assert [moved_names[node] for node in moved] == order


def test_sorting_refuses_a_cycle_by_its_nodes() -> None:
    edges = [GraphEdge(1, 2, 0.5), GraphEdge(2, 1, 0.5)]

    with pytest.raises(ValueError, match=r"have a cycle among or before the nodes \[1, 2\]"):
        sort_back_to_front(3, edges, [0, 1, 2])


def test_a_cycle_is_found_and_walked_from_front_to_back() -> None:
    edges = [GraphEdge(0, 1, 1), GraphEdge(1, 2, 1), GraphEdge(2, 3, 1), GraphEdge(3, 1, 1)]

    assert find_cycle(4, edges) == [1, 2, 3]


def test_a_node_in_front_of_itself_is_a_cycle() -> None:
    assert find_cycle(1, [GraphEdge(0, 0, 1)]) == [0]


def test_a_diamond_is_no_cycle() -> None:
    edges = [GraphEdge(0, 1, 1), GraphEdge(0, 2, 1), GraphEdge(1, 3, 1), GraphEdge(2, 3, 1)]

    assert find_cycle(4, edges) == []
