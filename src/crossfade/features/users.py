"""What a request's own history and stated tastes say, as arrays for a network.

Everything here reads a `Queries` and nothing else about the person, so somebody seen in
training and a stranger with the same history get the same numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from crossfade.data import Queries
from crossfade.features.items import LabelNames, LabelRows
from crossfade.features.labels import Labels, label_pairs, take_lists
from crossfade.features.reference import NO_TIME
from crossfade.features.temporal import temporal_context
from crossfade.types import (
    MICROSECONDS_PER_DAY,
    Bools,
    Csr,
    CsrParts,
    Doubles,
    Floats,
    Ints,
    Rows,
    Times,
)

DOCUMENTED_TOP = (5, 3)
"""Genres and moods that the documented user tower keeps per person."""

STATED_WEIGHT = 3.0
"""Events played this moment that a stated taste counts as much as; history takes over from there."""

_FAINT = 1e-30
"""What is left of a history however long ago it was: with nothing stated it still counts."""


def history_weights(
    queries: Queries, half_life_days: float | None, max_events: int | None
) -> Floats:
    """How much each history event counts when a history is pooled.

    Args:
        queries: The requests.
        half_life_days: Days before the newest positive event at which one counts half; None,
            or data without times, lets all count alike.
        max_events: Only so many of the newest positive events count; None takes all.

    Returns:
        Shape ``(len(queries.item_row),)``: 1 for the newest positive event of each history,
        less for older ones, 0 for events that are not positive or too old. How long ago the
        newest was is not in here but in `request_time_features`, so a person who comes back
        after years has a history all the same.

    Raises:
        ValueError: If the half-life is not above 0 or ``max_events`` is less than 1.
    """
    if half_life_days is not None and not half_life_days > 0:
        raise ValueError(f"half_life_days must be above 0, got {half_life_days}")
    if max_events is not None and max_events < 1:
        raise ValueError(f"max_events must be 1 or more, got {max_events}; None takes all")
    wanted = queries.strength > 0
    owner = queries.owner
    if max_events is not None:
        so_far = np.cumsum(wanted)
        in_all = np.concatenate([[0], so_far])[queries.indptr[1:]]
        wanted &= in_all[owner] - so_far < max_events
    if half_life_days is None or queries.time_us is None:
        return wanted.astype(np.float32)
    age_days = (_newest_us(queries, wanted)[owner] - queries.time_us) / MICROSECONDS_PER_DAY
    # Events after the newest positive one have a negative age; they do not count anyway.
    fade = np.exp2(-np.maximum(age_days, 0.0) / half_life_days)
    return np.where(wanted, fade, 0.0).astype(np.float32)


def label_preferences(
    queries: Queries,
    items: LabelRows,
    names: LabelNames,
    half_life_days: float | None,
    *,
    max_events: int | None = None,
    top: tuple[int, int] | None = None,
    stated_weight: float = STATED_WEIGHT,
) -> tuple[Csr, Csr]:
    """Which genres and which moods each person likes, by what they did and what they said.

    Each positive event has a weight that halves every ``half_life_days`` before the request
    (before the newest event where the request has no time), split evenly over the labels of
    its item. Stated labels share ``stated_weight``.

    Args:
        queries: The requests.
        items: The whole catalogue, ``queries.n_items`` of them.
        names: What their genre and mood rows stand for.
        half_life_days: None, or data without times, lets all events count alike.
        max_events: Only so many of the newest positive events count; None takes all.
        top: Genres and moods kept per person; `DOCUMENTED_TOP` for the documented form,
            None keeps all. Equal weights keep the more common label.
        stated_weight: What a stated taste counts, in events of this moment.

    Returns:
        Shares of shape ``(n, n_genres + 1)`` and ``(n, n_moods + 1)`` in label rows, column 0
        for unseen labels. Rows sum to 1; where nothing is known of a person they are empty.
    """
    parts = label_shares(
        queries,
        items,
        names,
        half_life_days,
        max_events=max_events,
        top=top,
        stated_weight=stated_weight,
    )
    genres, moods = (
        Csr((data, indices, indptr), shape=(len(queries), len(labels)))
        for (indptr, indices, data), labels in zip(parts, (names.genres, names.moods), strict=True)
    )
    return genres, moods


def label_shares(
    queries: Queries,
    items: LabelRows,
    names: LabelNames,
    half_life_days: float | None,
    *,
    max_events: int | None = None,
    top: tuple[int, int] | None = None,
    stated_weight: float = STATED_WEIGHT,
) -> tuple[CsrParts, CsrParts]:
    """The parts of both matrices of `label_preferences`."""
    weights = history_weights(queries, half_life_days, max_events)
    counts = np.flatnonzero(weights)
    liked, owner = queries.item_row[counts], queries.owner[counts]
    amount = weights[counts] * _fade_to_request(queries, half_life_days)[owner]
    parts = (
        ("genres", names.genres, items.genre_indptr, items.genre_row),
        ("moods", names.moods, items.mood_indptr, items.mood_row),
    )
    genres, moods = (
        _shares(
            len(queries),
            len(labels),
            [
                _spread(owner, amount, *take_lists(starts, rows, liked)),
                _stated(queries, column, labels, stated_weight),
            ],
            most,
        )
        for (column, labels, starts, rows), most in zip(parts, top or (None, None), strict=True)
    )
    return genres, moods


def request_time_features(queries: Queries) -> tuple[Floats, Bools]:
    """When each request is, and how long its person has been away.

    Events that share the request's timestamp, as they do where days stand for times, are
    not looked at.

    Returns:
        The temporal context of the data dictionary and which of it is known, both
        ``(n, 7)``. Unknown values are 0, so a model must see the mask; without a time of
        the request all are.
    """
    as_of_us = queries.as_of_us
    if as_of_us is None:
        as_of_us = np.full(len(queries), NO_TIME, dtype=np.int64)
    last_us = np.full(len(queries), NO_TIME, dtype=np.int64)
    if queries.time_us is not None:
        last_us = _newest_us(queries, queries.time_us < as_of_us[queries.owner])
    context = temporal_context(as_of_us, last_us)
    known = np.isfinite(context)
    return np.where(known, context, np.float32(0)), known


def _newest_us(queries: Queries, these: Bools) -> Times:
    """Time of the newest of some events of each history, `NO_TIME` where there is none."""
    newest = np.full(len(queries), NO_TIME, dtype=np.int64)
    if queries.time_us is not None:
        np.maximum.at(newest, queries.owner[these], queries.time_us[these])
    return newest


def _fade_to_request(queries: Queries, half_life_days: float | None) -> Doubles:
    """What the newest positive event of each history counts as of the request, shape ``(n,)``."""
    fade = np.ones(len(queries))
    if half_life_days is None or queries.time_us is None or queries.as_of_us is None:
        return fade
    newest = _newest_us(queries, queries.strength > 0)
    some = newest != NO_TIME
    away_days = np.maximum(queries.as_of_us[some] - newest[some], 0) / MICROSECONDS_PER_DAY
    fade[some] = np.maximum(np.exp2(-away_days / half_life_days), _FAINT)
    return fade


class _Amounts(NamedTuple):
    """What labels of requests are given, entry by entry; a label may come again."""

    owner: Ints
    label: Rows
    amount: Doubles


def _spread(owner: Ints, amount: Doubles, indptr: Ints, label_row: Rows) -> _Amounts:
    """The amount of each list split evenly over its labels; nothing of one without any."""
    sizes = np.diff(indptr)
    each = amount / np.maximum(sizes, 1)
    return _Amounts(np.repeat(owner, sizes), label_row, np.repeat(each, sizes))


def _stated(queries: Queries, column: str, labels: Labels, weight: float) -> _Amounts:
    """A weight for what each request states, split over its labels."""
    if queries.tastes is None:
        nothing = np.zeros(0, dtype=np.int64)
        return _Amounts(nothing, nothing.astype(np.int32), nothing.astype(np.float64))
    said = [list(getattr(taste, column)) for taste in queries.tastes]
    table = pl.DataFrame({column: said}, schema={column: pl.List(pl.String)})
    lists = labels.lists(label_pairs(table, column), len(queries), None)
    return _spread(np.arange(len(queries)), np.full(len(queries), weight), *lists)


def _shares(n: int, n_labels: int, given: Sequence[_Amounts], most: int | None) -> CsrParts:
    """Share of each label in what its request is given, ``(n, n_labels)``; rows sum to 1.

    Sorted and added up once: matrices for the steps between cost ten times that for one request.
    """
    owner, label, amount = (np.concatenate(part) for part in zip(*given, strict=True))
    keys, place = np.unique(owner * n_labels + label, return_inverse=True)
    total: Doubles = np.bincount(place, weights=amount, minlength=len(keys)).astype(np.float64)
    keys, total = keys[total > 0], total[total > 0]
    owner, label = keys // n_labels, keys % n_labels
    if most is not None:
        keep = _strongest(owner, label, total, n_labels, most)
        owner, label, total = owner[keep], label[keep], total[keep]
    of_request = np.bincount(owner, weights=total, minlength=n)
    indptr = np.searchsorted(owner, np.arange(n + 1))
    shares = (total / of_request[owner]).astype(np.float32)
    return indptr, label.astype(np.int32), shares


def _strongest(owner: Ints, label: Ints, total: Doubles, n_labels: int, most: int) -> Bools:
    """Only the largest entries of each owner, who rise; among equals the labels further left."""
    # Column 0 stands for unseen labels, which are rarer than any other: it goes last.
    order = np.lexsort(((label - 1) % n_labels, -total, owner))
    keep = np.zeros(len(owner), dtype=np.bool_)
    keep[order] = np.arange(len(owner)) - np.searchsorted(owner, owner) < most
    return keep
