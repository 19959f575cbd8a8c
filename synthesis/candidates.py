"""What the bank has for the queries of a layout, and what its anchor photograph has beside."""

from collections.abc import Sequence
from dataclasses import replace

from scenequilt.memory_bank.segment import Query, Retrieval
from scenequilt.memory_bank.where import Where
from scenequilt.synthesis.choice import Preferences
from scenequilt.synthesis.stages import Bank, ComposeSettings


def retrieve(
    bank: Bank, queries: Sequence[Query], k: int, settings: ComposeSettings, where: Where | None
) -> list[Retrieval]:
    """Return what the bank answers to each query; an answer may be empty."""
    return bank.retrieve_many(
        queries,
        k,
        where=where,
        weights=settings.weights,
        search=settings.search,
        allow_empty=True,
    )


def ask_anchor(
    bank: Bank,
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    preferences: Preferences,
    settings: ComposeSettings,
    where: Where | None,
) -> list[Retrieval]:
    """Add what the anchor photograph itself has for the stuff, if it is not among the best.

    Args:
        bank: Where the segments come from.
        queries: The queries, by query_id.
        retrievals: What the bank answered to them, by query_id.
        preferences: Name the anchor.
        settings: How many candidates to ask for.
        where: Which segments may be used.

    Returns:
        The answers with the anchor's candidates behind those that were found first.
    """
    extended = list(retrievals)
    stuff = [query for query in queries if not query.is_thing]
    if not preferences.anchor_source_id or not settings.anchor_k or not stuff:
        return extended
    only = replace(where or Where(), sources=(preferences.anchor_source_id,))
    for query, more in zip(
        stuff, retrieve(bank, stuff, settings.anchor_k, settings, only), strict=True
    ):
        first = extended[query.query_id]
        known = {candidate.segment_id for candidate in first.candidates}
        added = [c for c in more.candidates if c.segment_id not in known]
        extended[query.query_id] = replace(
            first,
            candidates=first.candidates
            + tuple(
                replace(candidate, rank=len(known) + number)
                for number, candidate in enumerate(added)
            ),
        )
    return extended
