"""What a request's own history and stated tastes say, as arrays for a network.

Everything here reads a `Queries` and nothing else about the person, so somebody seen in
training and a stranger with the same history get the same numbers.
"""

import numpy as np
import polars as pl

from crossfade.data import Queries
from crossfade.features.items import LabelNames, LabelRows
from crossfade.features.labels import Labels, label_pairs, take_lists
from crossfade.features.reference import NO_TIME
from crossfade.features.temporal import temporal_context
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Csr, Doubles, Floats, Ints, Rows, Times

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
    weights = history_weights(queries, half_life_days, max_events)
    counts = np.flatnonzero(weights)
    liked = queries.item_row[counts]
    # Events stand for items here, so that one request costs the same in any catalogue.
    indptr = np.searchsorted(counts, queries.indptr)
    events = Csr(
        (weights[counts], np.arange(len(counts)), indptr), shape=(len(queries), len(counts))
    )
    faded = _fade_to_request(queries, half_life_days)
    parts = (
        ("genres", names.genres, items.genre_indptr, items.genre_row),
        ("moods", names.moods, items.mood_indptr, items.mood_row),
    )
    genres, moods = (
        _mixed(
            events @ _label_shares(*take_lists(starts, rows, liked), len(labels)),
            faded,
            _stated(queries, column, labels) * stated_weight,
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


def _label_shares(indptr: Ints, label_row: Rows, n_labels: int) -> Csr:
    """One row per list, whose labels share a weight of 1; empty where it has none."""
    sizes = np.diff(indptr)
    shares = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
    return Csr((shares, label_row, indptr), shape=(len(sizes), n_labels))


def _stated(queries: Queries, column: str, labels: Labels) -> Csr:
    """One row per request whose stated labels share a weight of 1; empty where none is."""
    if queries.tastes is None:
        return Csr((len(queries), len(labels)), dtype=np.float64)
    said = [list(getattr(taste, column)) for taste in queries.tastes]
    table = pl.DataFrame({column: said}, schema={column: pl.List(pl.String)})
    indptr, rows = labels.lists(label_pairs(table, column), len(queries), None)
    return _label_shares(indptr, rows, len(labels))


def _mixed(done: Csr, faded: Doubles, said: Csr, most: int | None) -> Csr:
    """Shares of what was done, faded to the request, and what was said; rows sum to 1."""
    scaled = done.data * np.repeat(faded, np.diff(done.indptr))
    both = Csr(Csr((scaled, done.indices, done.indptr), shape=done.shape) + said)
    both.eliminate_zeros()
    both.sort_indices()
    if most is not None:
        both = _strongest(both, most)
    totals = np.repeat(both.sum(axis=1), np.diff(both.indptr))
    shares = (both.data / totals).astype(np.float32)
    return Csr((shares, both.indices, both.indptr), shape=both.shape)


def _strongest(matrix: Csr, most: int) -> Csr:
    """Only the largest entries of each row; among equals the ones further left."""
    owner = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # Column 0 stands for unseen labels, which are rarer than any other: it goes last.
    rank = (matrix.indices - 1) % matrix.shape[1]
    order = np.lexsort((rank, -matrix.data, owner))
    keep = np.zeros(matrix.nnz, dtype=np.bool_)
    keep[order] = np.arange(matrix.nnz) - matrix.indptr[:-1][owner] < most
    parts = (matrix.data[keep], (owner[keep], matrix.indices[keep]))
    return Csr(parts, shape=matrix.shape)
