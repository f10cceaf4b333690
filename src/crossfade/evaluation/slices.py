"""Where a model wins and loses: by history, by what is known of the wanted item.

Slices of requests (who asks) look at every metric. Slices of wanted items (what is asked
for) look at recall restricted to the wanted items of the slice; a user without any
such item has no value there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.splits import Trial
from crossfade.evaluation.beyond import ItemFacts
from crossfade.evaluation.config import EvaluationConfig
from crossfade.types import MICROSECONDS_PER_DAY, Csr, Doubles, Ints

N_DECILES = 10


@dataclass(frozen=True)
class Family:
    """One way to divide requests, or pairs of request and wanted item.

    Attributes:
        name: Such as ``"history_length"``.
        labels: Names of the slices, in the order to print them.
        code: Slice of each request or pair; -1 where the rule cannot say.
    """

    name: str
    labels: tuple[str, ...]
    code: Ints


def request_families(trial: Trial, config: EvaluationConfig) -> list[Family]:
    """Slices of the requests of one trial: ``history_length`` and ``user``."""
    lengths = np.diff(trial.queries.indptr)
    # One place more than there are users: a stranger's row -1 finds a 0 there.
    has_events = np.zeros(trial.train.n_users + 1, dtype=np.int64)
    has_events[trial.train.events["user_row"].to_numpy()] = 1
    return [
        Family(
            "history_length",
            _range_labels(config.history_edges),
            np.searchsorted(config.history_edges, lengths, side="right").astype(np.int64),
        ),
        Family(
            "user", ("unseen in training", "seen in training"), has_events[trial.queries.user_row]
        ),
    ]


def pair_families(trial: Trial, relevant: Csr, config: EvaluationConfig) -> list[Family]:
    """Slices of the wanted items of one trial.

    ``item_popularity`` (deciles of the items with training users, 1 is the least known),
    ``item_metadata`` (how many of title, creator, genres and audio are known) and, with
    times, ``item_age`` (days from the item's first training event to the request).

    Args:
        trial: Where the items stand at the cut.
        relevant: ``trial.relevant`` with sorted indices; a slice is given per stored entry.
        config: Edges of the age slices.
    """
    items = relevant.indices
    families = [
        Family(
            "item_popularity",
            (
                "unseen in training",
                *(f"decile {d}" for d in range(1, N_DECILES + 1)),
            ),
            popularity_decile(ItemFacts.of(trial.train).n_known_by)[items],
        ),
        Family(
            "item_metadata",
            tuple(f"{n} of 4 known" for n in range(5)),
            _n_known_fields(trial.train.items)[items],
        ),
    ]
    if trial.queries.as_of_us is not None and trial.train.time_us is not None:
        families.append(_item_age(trial, relevant, config.item_age_days))
    return families


def popularity_decile(n_known_by: Ints) -> Ints:
    """0 for items that no training user knows, else 1 (least known) to 10.

    Equally known items share a decile (the one of the highest among them), so with many
    items known by one user the lowest deciles can be empty.

    Args:
        n_known_by: Training users who know each item, shape ``(n_items,)``.
    """
    ranked = np.sort(n_known_by[n_known_by > 0])
    at_most = np.searchsorted(ranked, n_known_by, side="right") / max(len(ranked), 1)
    decile = np.ceil(at_most * N_DECILES - 1e-9).astype(np.int64)
    return np.where(n_known_by > 0, decile, 0)


def restricted_recall(found: Doubles, relevant: Csr, family: Family) -> Doubles:
    """Recall over the wanted items of each slice.

    Args:
        found: 1 where a stored entry of ``relevant`` is recommended, shape ``(nnz, n_models)``.
        relevant: What was wanted, shape ``(n, n_items)``.
        family: Slices of the stored entries.

    Returns:
        Shape ``(n, n_slices, n_models)``; NaN where a request wants nothing of a slice.
    """
    n, n_slices, n_models = relevant.shape[0], len(family.labels), found.shape[1]
    owner = np.repeat(np.arange(n), np.diff(relevant.indptr))
    inside = family.code >= 0
    cell = owner[inside] * n_slices + family.code[inside]
    total = np.bincount(cell, minlength=n * n_slices)
    out = np.full((n * n_slices, n_models), np.nan)
    for m in range(n_models):
        hits = np.bincount(cell, weights=found[inside, m], minlength=n * n_slices)
        np.divide(hits, total, out=out[:, m], where=total > 0)
    return out.reshape(n, n_slices, n_models)


def _item_age(trial: Trial, relevant: Csr, edges: Sequence[float]) -> Family:
    as_of, times = trial.queries.as_of_us, trial.train.time_us
    assert as_of is not None
    assert times is not None
    first = np.full(relevant.shape[1], np.iinfo(np.int64).max)
    np.minimum.at(first, trial.train.events["item_row"].to_numpy(), times)
    owner = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    born = first[relevant.indices]
    known = born < as_of[owner]
    days = np.where(known, as_of[owner] - np.where(known, born, 0), 0) / MICROSECONDS_PER_DAY
    code = np.where(known, 1 + np.searchsorted(edges, days, side="right"), 0)
    names = [f"{edge:g}" for edge in edges]
    aged = [
        f"under {names[0]} days",
        *(f"{a} to {b} days" for a, b in pairwise(names)),
    ]
    labels = (
        ("no earlier event", *aged, f"{names[-1]} days or more")
        if edges
        else ("no earlier event", "known")
    )
    return Family("item_age", labels, code.astype(np.int64))


def _n_known_fields(items: pl.DataFrame) -> Ints:
    """How many of title, creator, genres and audio are known; audio counts from one feature on."""
    n_known = np.zeros(items.height, dtype=np.int64)
    if "title" in items.columns:
        n_known += items["title"].is_not_null().to_numpy()
    creators = [name for name in ("creator", "creator_id") if name in items.columns]
    if creators:
        n_known += (
            items.select(pl.any_horizontal(pl.col(creators).is_not_null())).to_series().to_numpy()
        )
    if "genres" in items.columns:
        n_known += (items["genres"].list.drop_nulls().list.len().fill_null(0) > 0).to_numpy()
    audio = [name for name in AUDIO_FEATURES if name in items.columns]
    if audio:
        there = pl.any_horizontal(pl.col(audio).is_not_null() & pl.col(audio).is_not_nan())
        n_known += items.select(there.fill_null(value=False)).to_series().to_numpy()
    return n_known


def _range_labels(edges: Sequence[int]) -> tuple[str, ...]:
    """Names of whole-number ranges: 0, 1–4, 5–19, 100+."""
    starts = (0, *edges)
    closed = [f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in zip(starts, edges, strict=False)]
    return (*closed, f"{starts[-1]}+")
