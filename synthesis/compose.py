"""From a layout to a photograph: the whole path on one screen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.errors import EmptyClassError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query, Retrieval
from scenequilt.memory_bank.where import Where
from scenequilt.ordering.orderer import ClosedFormOrderer, FixedPair
from scenequilt.synthesis.candidates import ask_anchor, retrieve
from scenequilt.synthesis.canvas import paste
from scenequilt.synthesis.chooser import Chooser, lab_statistics, leftovers
from scenequilt.synthesis.composition import Composition, Stopwatch
from scenequilt.synthesis.elision import elide_borders
from scenequilt.synthesis.finish import ClosedFinish, Finish, Surroundings
from scenequilt.synthesis.finishing import finish_canvas
from scenequilt.synthesis.groundwork import Groundwork
from scenequilt.synthesis.look import SourceLooks
from scenequilt.synthesis.preference import prefer
from scenequilt.synthesis.stages import Aligner, Bank, ComposeSettings, Orderer
from scenequilt.synthesis.zones import stuff_zones, zone_labels


def compose(
    layout: Layout,
    bank: Bank,
    aligner: Aligner | None = None,
    orderer: Orderer | None = None,
    finish: Finish | None = None,
    *,
    settings: ComposeSettings | None = None,
    seed: int = 0,
    where: Where | None = None,
    style: NDArray[np.uint8] | None = None,
    fixed: Sequence[FixedPair] = (),
    earlier: Sequence[Composition] = (),
    looks: SourceLooks | None = None,
) -> Composition:
    """Make a photograph of a layout out of the bank's segments.

    Args:
        layout: What it should show, (H, W), in the bank's taxonomy.
        bank: Where the segments come from.
        aligner: Bends segments; the closed form if None.
        orderer: Says who is in front; the closed form if None.
        finish: Makes a picture of the canvas; the closed form if None.
        settings: The defaults if None.
        seed: Same arguments, same seed, same bytes. It draws what is elided, the texture of
            fillings, and lots among near equals for all variants but the first.
        where: Which segments may be used.
        style: (h, w, 3) uint8 RGB photograph whose light and colour are preferred, or None.
        fixed: Pairs of queries whose order is given; numbers as in Composition.queries.
        earlier: Variants made before, which this one is to differ from.
        looks: Looks of the bank's photographs, to be shared between calls; made anew if None.

    Raises:
        ValueError: If the layout's classes are not the bank's, or fixed pairs contradict each
            other or name a query that is not there.
        EmptyClassError: If the bank has no segment for any region of the layout.
    """
    _check_classes(layout, bank)
    aligner, orderer = aligner or ClosedFormAligner(), orderer or ClosedFormOrderer()
    finish, settings = finish or ClosedFinish(), settings or ComposeSettings()
    looks = looks or SourceLooks(bank)
    watch = Stopwatch()

    queries = extract_queries(layout, min_area_px=settings.min_area_px)
    zones = stuff_zones(layout, queries)
    watch.lap("extract")
    retrievals = retrieve(bank, queries, settings.k, settings, where)
    watch.lap("retrieve")
    known = [*retrievals, *(answer for item in earlier for answer in item.retrievals)]
    looks.meet(candidate for answer in known for candidate in answer.candidates)
    preferences, look = prefer(queries, retrievals, bank, looks, settings, style, seed, earlier)
    retrievals = ask_anchor(bank, queries, retrievals, preferences, settings, where)
    watch.lap("choose")
    chooser = Chooser(layout, bank, aligner, zones, preferences, settings)
    chosen = chooser.choose(queries, retrievals)
    more = leftovers(queries, chosen, settings)
    if more:
        answers = retrieve(bank, more, settings.k, settings, where)
        looks.meet(candidate for answer in answers for candidate in answer.candidates)
        chosen += chooser.choose(more, answers)
        queries, retrievals = queries + more, retrievals + answers
    placed = [item for choice in chosen for item in choice.placed]
    reach = [mask for choice in chosen for mask in choice.reach]
    if not placed:
        raise EmptyClassError(_nothing_found(queries, retrievals, settings.min_area_px))
    watch.lap("align")
    order = orderer.sort(placed, queries, fixed=fixed)
    watch.lap("order")
    canvas = paste(placed, order, layout, queries, reach=reach)
    elided = elide_borders(canvas, seed=seed, settings=settings.elision)
    watch.lap("paste")
    surroundings = Surroundings(
        zone_labels(zones, queries), look, looks, *lab_statistics(placed, bank), elided
    )
    finished, closed_work = finish_canvas(finish, canvas, surroundings, seed=seed)
    watch.lap("finish")
    return Composition(
        image=finished.image,
        requested=layout,
        delivered=finished.delivered,
        ownership=canvas.ownership,
        placed=canvas.placed,
        order=order,
        queries=tuple(queries),
        retrievals=tuple(retrievals),
        rejected=tuple(rejection for choice in chosen for rejection in choice.rejected),
        state=finished.state,
        coverage=canvas.coverage,
        elided=elided,
        seconds=watch.seconds,
        seed=seed,
        variant=len(earlier),
        anchor_source_id=preferences.anchor_source_id,
        finish_name=finish.name,
        groundwork=Groundwork(
            aligner,
            orderer,
            finish,
            settings,
            tuple(fixed),
            zones,
            preferences,
            tuple(chosen),
            canvas,
            surroundings,
            finished,
            closed_work,
        ),
    )


def compose_variants(
    layout: Layout,
    bank: Bank,
    aligner: Aligner | None = None,
    orderer: Orderer | None = None,
    finish: Finish | None = None,
    *,
    variants: int,
    settings: ComposeSettings | None = None,
    seed: int = 0,
    where: Where | None = None,
    style: NDArray[np.uint8] | None = None,
    fixed: Sequence[FixedPair] = (),
    looks: SourceLooks | None = None,
) -> list[Composition]:
    """Make several photographs of one layout that differ from each other.

    The first is what compose makes; each further one avoids the segments and photographs of those
    before it and follows the light of another one. The first n of more variants are the same as n
    variants.

    Raises:
        ValueError: If variants is below 1; and as compose.
        EmptyClassError: As compose.
    """
    if variants < 1:
        raise ValueError(f"variants is {variants}, expected at least 1")
    looks = looks or SourceLooks(bank)
    made: list[Composition] = []
    for _ in range(variants):
        made.append(
            compose(
                layout,
                bank,
                aligner,
                orderer,
                finish,
                settings=settings,
                seed=seed,
                where=where,
                style=style,
                fixed=fixed,
                earlier=made,
                looks=looks,
            )
        )
    return made


def _check_classes(layout: Layout, bank: Bank) -> None:
    ours = [entry.name for entry in layout.taxonomy.classes]
    theirs = [entry.name for entry in bank.taxonomy.classes]
    if ours != theirs:
        raise ValueError(
            f"the layout has taxonomy {layout.taxonomy.name!r} with classes {', '.join(ours)}, but "
            f"the bank {bank.taxonomy.name!r} with {', '.join(theirs)}; read the layout with the "
            "bank's taxonomy"
        )


def _nothing_found(
    queries: Sequence[Query], retrievals: Sequence[Retrieval], min_area_px: int
) -> str:
    if not queries:
        return (
            f"the layout has no region of {min_area_px} pixels to ask for, the rest is void; "
            "compose it at a larger size"
        )
    names = sorted({query.layout.taxonomy.classes[query.class_id].name for query in queries})
    answer_of_class = {
        query.class_id: retrieval for query, retrieval in zip(queries, retrievals, strict=True)
    }
    removed: dict[str, int] = {}
    for retrieval in answer_of_class.values():
        for name, count in retrieval.removed.items():
            removed[name] = removed.get(name, 0) + count
    filters = ", ".join(f"{name} removed {count}" for name, count in removed.items() if count)
    reason = f"the filters left none ({filters})" if filters else "the bank holds none"
    return f"no segment for any of the classes {', '.join(names)}: {reason}"
