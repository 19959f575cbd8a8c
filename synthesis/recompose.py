"""Changing one choice of a composition: only what it touches is worked out again."""

from collections.abc import Sequence
from dataclasses import replace

from scenequilt.memory_bank.segment import Query
from scenequilt.synthesis.canvas import paste
from scenequilt.synthesis.choice import Chosen, Ranked
from scenequilt.synthesis.chooser import Chooser, lab_statistics
from scenequilt.synthesis.composition import Composition, Rejection, Stopwatch, Swap
from scenequilt.synthesis.elision import elide_borders
from scenequilt.synthesis.finishing import refinish
from scenequilt.synthesis.stages import Bank


def swap(
    made: Composition, bank: Bank, query_id: int, segment_id: int | None = None
) -> Composition:
    """Answer one query of a composition by another of its candidates.

    Only that one is bent anew; for stuff, the candidate shows first, and the others cover what it
    leaves open, as ever. Everything else that was chosen stays, what was asked for again beside a
    thing included. Order and canvas are those of all segments together. The finish is handed what
    changed: the closed one makes the picture that it would make of the whole, but for the texture
    of holes that nothing has touched, which stays as it was. A swap may reach further than its own
    pixels where pieces are matched to each other: colours of other pieces of the class follow its
    largest one, and sky between leaves follows the sky.

    Args:
        made: By compose or by swap.
        bank: That it was composed from.
        query_id: As in made.queries.
        segment_id: One of made.retrievals[query_id].candidates; if None, the one worth most to the
            picture of those that have not answered the query yet, and after the last of them the
            first again.

    Returns:
        The composition with the swap at the end of its swaps; seconds are those of the swap.

    Raises:
        ValueError: If there is no such query or candidate, none is left, the candidate shows
            nothing there, or made has no groundwork.
    """
    before = made.groundwork
    if before is None:
        raise ValueError("the composition has no groundwork; swap one that compose has made")
    if not 0 <= query_id < len(made.queries):
        raise ValueError(f"no query {query_id}; there are 0 to {len(made.queries) - 1}")
    watch = Stopwatch()
    query, retrieval = made.queries[query_id], made.retrievals[query_id]
    chooser = Chooser(
        made.requested, bank, before.aligner, before.zones, before.preferences, before.settings
    )
    for other, choice in zip(made.queries, before.chosen, strict=True):
        if other is not query:
            chooser.remember(other, choice)
    ranked = chooser.rank(query, retrieval)
    wanted = _candidates_to_try(made, query, ranked, segment_id)
    watch.lap("choose")
    entry, answer = _first_that_shows(chooser, query, ranked, wanted)
    shown = _shown_by(made, query_id)
    answer = replace(answer, rejected=_with_reason(answer.rejected, shown))
    chosen = (*before.chosen[:query_id], answer, *before.chosen[query_id + 1 :])
    placed = [item for choice in chosen for item in choice.placed]
    reach = [mask for choice in chosen for mask in choice.reach]
    watch.lap("align")
    order = before.orderer.sort(placed, made.queries, fixed=before.fixed)
    watch.lap("order")
    canvas = paste(placed, order, made.requested, made.queries, reach=reach)
    elided = elide_borders(canvas, seed=made.seed, settings=before.settings.elision)
    watch.lap("paste")
    means, spreads = lab_statistics(placed, bank)
    surroundings = replace(
        before.surroundings, segment_means=means, segment_spreads=spreads, elided=elided
    )
    finished, closed_work = refinish(canvas, surroundings, before, seed=made.seed)
    watch.lap("finish")
    return replace(
        made,
        image=finished.image,
        delivered=finished.delivered,
        ownership=canvas.ownership,
        placed=canvas.placed,
        order=order,
        rejected=tuple(rejection for choice in chosen for rejection in choice.rejected),
        state=finished.state,
        coverage=canvas.coverage,
        elided=elided,
        seconds=watch.seconds,
        swaps=(*made.swaps, Swap(query_id, entry.candidate.segment_id, shown)),
        groundwork=replace(
            before,
            chosen=chosen,
            canvas=canvas,
            surroundings=surroundings,
            finished=finished,
            closed_work=closed_work,
        ),
    )


def _candidates_to_try(
    made: Composition, query: Query, ranked: Sequence[Ranked], segment_id: int | None
) -> list[Ranked]:
    """Return what may answer the query now, the first to be tried first."""
    if segment_id is not None:
        asked_for = [entry for entry in ranked if entry.candidate.segment_id == segment_id]
        if not asked_for:
            raise ValueError(
                f"segment {segment_id} is none of the {len(ranked)} candidates of query "
                f"{query.query_id}; choose one of retrievals[{query.query_id}].candidates"
            )
        return asked_for
    now = _shown_by(made, query.query_id)
    had = {now}
    for earlier in made.swaps:
        if earlier.query_id == query.query_id:
            had |= {earlier.segment_id, earlier.instead_of}
    fresh = [entry for entry in ranked if entry.candidate.segment_id not in had]
    ids = [entry.candidate.segment_id for entry in ranked]
    after = ids.index(now) + 1 if now in ids else 0
    again = [
        entry
        for entry in (*ranked[after:], *ranked[:after])
        if entry.candidate.segment_id in had - {now}
    ]
    if not fresh and not again:
        raise ValueError(
            f"query {query.query_id} has no other candidate; compose with a larger k than "
            f"{len(ranked)}, or from a larger bank"
        )
    return fresh + again


def _first_that_shows(
    chooser: Chooser, query: Query, ranked: Sequence[Ranked], wanted: Sequence[Ranked]
) -> tuple[Ranked, Chosen]:
    """Return the first of the wanted candidates that has a pixel to show, and what is pasted."""
    for entry in wanted:
        answer = chooser.answer(query, ranked, first=entry)
        first = answer.placed[0].segment.segment_id if answer.placed else None
        if first == entry.candidate.segment_id:
            return entry, answer
    ids = ", ".join(str(entry.candidate.segment_id) for entry in wanted)
    raise ValueError(
        f"query {query.query_id}: bent to it, none of segments {ids} shows a pixel; choose another "
        "candidate"
    )


def _shown_by(made: Composition, query_id: int) -> int:
    """Return the segment that answers a query, the first of several, or -1."""
    answers = [item.segment.segment_id for item in made.placed if item.query_id == query_id]
    return answers[0] if answers else -1


def _with_reason(rejected: Sequence[Rejection], segment_id: int) -> tuple[Rejection, ...]:
    """Return the rejections, that of one segment by the caller."""
    return tuple(
        replace(each, reason="swapped") if each.segment_id == segment_id else each
        for each in rejected
    )
