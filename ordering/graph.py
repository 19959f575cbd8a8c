"""The occlusion graph: cycles broken by lowest confidence, then sorted from back to front."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One statement of the graph: a node is in front of another.

    Attributes:
        front: Node in front.
        back: Node behind it.
        confidence: In [0, 1]; where statements contradict each other the lowest goes.
    """

    front: int
    back: int
    confidence: float


def break_cycles(
    node_count: int, edges: Sequence[GraphEdge], tie_break: Sequence[Any]
) -> tuple[list[int], list[int]]:
    """Split edges into those that can hold together and those that are given up.

    Edges are taken in the order of falling confidence; one that would close a cycle with those
    already taken is given up. So every edge given up is the weakest of a cycle.

    Args:
        node_count: Nodes are 0 to node_count - 1.
        edges: At most one for a pair of nodes.
        tie_break: A sortable value a node; among edges of equal confidence the one whose front,
            then back, sorts first is taken first. With distinct values the outcome does not depend
            on how nodes are numbered.

    Returns:
        Indices of the edges that hold and of those given up, both ascending.

    Source:
        Tideman 1987, "Independence of clones as a criterion for voting rules" (ranked pairs).
    """
    strongest_first = sorted(
        range(len(edges)),
        key=lambda index: (
            -edges[index].confidence,
            tie_break[edges[index].front],
            tie_break[edges[index].back],
        ),
    )
    # Bit sets: which nodes lie in front of, and which behind, each node by the edges taken so far.
    ahead = [0] * node_count
    behind = [0] * node_count
    kept, broken = [], []
    for index in strongest_first:
        front, back = edges[index].front, edges[index].back
        if front == back or ahead[front] >> back & 1:
            broken.append(index)
            continue
        kept.append(index)
        if ahead[back] >> front & 1:
            continue
        gained_ahead = ahead[front] | 1 << front
        gained_behind = behind[back] | 1 << back
        for node in _members(gained_behind):
            ahead[node] |= gained_ahead
        for node in _members(gained_ahead):
            behind[node] |= gained_behind
    return sorted(kept), sorted(broken)


def sort_back_to_front(
    node_count: int, edges: Sequence[GraphEdge], tie_break: Sequence[Any]
) -> list[int]:
    """Return the nodes from back to front.

    Among nodes that may come next the one whose tie_break sorts first comes.

    Raises:
        ValueError: If the edges have a cycle.
    """
    in_front_of: list[list[int]] = [[] for _ in range(node_count)]
    waiting_for = [0] * node_count
    for edge in edges:
        in_front_of[edge.back].append(edge.front)
        waiting_for[edge.front] += 1
    ready = [(tie_break[node], node) for node in range(node_count) if waiting_for[node] == 0]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, node = heapq.heappop(ready)
        order.append(node)
        for front in in_front_of[node]:
            waiting_for[front] -= 1
            if waiting_for[front] == 0:
                heapq.heappush(ready, (tie_break[front], front))
    if len(order) < node_count:
        stuck = [node for node in range(node_count) if waiting_for[node] > 0]
        raise ValueError(f"edges have a cycle among or before the nodes {stuck}; break it first")
    return order


def find_cycle(node_count: int, edges: Sequence[GraphEdge]) -> list[int]:
    """Return the nodes of one cycle, each in front of the next and the last of the first, or []."""
    behind: list[list[int]] = [[] for _ in range(node_count)]
    for edge in edges:
        behind[edge.front].append(edge.back)
    finished: set[int] = set()
    for start in range(node_count):
        path: list[int] = []
        stack = [(start, iter(behind[start]))] if start not in finished else []
        path += [node for node, _ in stack]
        while stack:
            node, following = stack[-1]
            child = next((other for other in following if other not in finished), None)
            if child is None:
                finished.add(node)
                stack.pop()
                path.pop()
            elif child in path:
                return path[path.index(child) :]
            else:
                stack.append((child, iter(behind[child])))
                path.append(child)
    return []


def _members(bits: int) -> list[int]:
    """Return the places of the set bits."""
    members = []
    while bits:
        lowest = bits & -bits
        members.append(lowest.bit_length() - 1)
        bits ^= lowest
    return members
