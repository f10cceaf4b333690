"""What a request's own history says about single candidates: same creator, same genres, met before."""

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.features.items import LabelNames, LabelRows
from crossfade.features.labels import UNSEEN
from crossfade.features.users import label_shares
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Doubles, Floats, Ints, Rows, Times

PAIR_FEATURES = (
    "log_creator_events",
    "log_creator_idle_days",
    "genre_match",
    "mood_match",
    "log_met",
    "log_met_idle_days",
)
"""Columns of `pair_features`: positive events on the creator's items and days since the last; share of the
history's genres and moods the item carries; events on the item itself, wanted or not, and days since the last."""


def pair_features(queries: Queries, item_row: Rows, items: LabelRows, names: LabelNames) -> Doubles:
    """How each candidate relates to the history of its request.

    Args:
        queries: B requests. Their histories are taken as they are, like a base takes them; what
            they state they like counts as in `label_preferences`.
        item_row: Candidates, ``(B, L)``; -1 pads.
        items: The whole catalogue.
        names: What their genre and mood rows stand for.

    Returns:
        Shape ``(B, L, len(PAIR_FEATURES))``; NaN where missing: unknown creators, matches of
        items without genres or moods and of histories without them, days without times or
        without an event, and padding.
    """
    out = np.full((*item_row.shape, len(PAIR_FEATURES)), np.nan)
    creator = np.where(item_row >= 0, items.creator_row[np.maximum(item_row, 0)], UNSEEN)
    # Nobody is asked for the creator that stands for all unknown ones.
    creator = np.where(creator == UNSEEN, -1, creator).astype(np.int32)
    creator_of_event = items.creator_row[queries.item_row]
    _write_events(out[:, :, 0:2], queries, creator_of_event, queries.strength > 0, creator)
    liked = label_shares(queries, items, names, None)
    parts = ((items.genre_indptr, items.genre_row), (items.mood_indptr, items.mood_row))
    n_labels = (len(names.genres), len(names.moods))
    for place, (shares, (indptr, rows)) in enumerate(zip(liked, parts, strict=True)):
        _match(*shares, item_row, indptr, rows, np.zeros(n_labels[place]), out[:, :, 2 + place])
    every = np.ones(len(queries.item_row), dtype=np.bool_)
    _write_events(out[:, :, 4:6], queries, queries.item_row, every, item_row)
    return out


def _write_events(out: Doubles, queries: Queries, group: Rows, counts: Bools, asked: Rows) -> None:
    """Write log1p of events on a group of items in the history, and of days since the last of them.

    Args:
        out: To write to, ``(B, L, 2)``.
        queries: The requests.
        group: Group of each history event.
        counts: Which events count.
        asked: Group of each candidate, ``(B, L)``; -1 leaves NaN.
    """
    time_us = queries.time_us if queries.time_us is not None else np.zeros(len(group), np.int64)
    n_groups = 1 + max(int(group.max(initial=0)), int(asked.max(initial=0)))
    scratch = (np.zeros(n_groups, dtype=np.int64), np.zeros(n_groups, dtype=np.int64))
    newest = np.zeros(asked.shape, dtype=np.int64)
    _count(queries.indptr, group, counts, time_us, asked, *scratch, out[:, :, 0], newest)
    if queries.time_us is not None:
        days = (_moments(queries)[:, None] - newest) / MICROSECONDS_PER_DAY
        # An event may share its time with the request, where days stand for times.
        out[:, :, 1] = np.where(out[:, :, 0] > 0, np.log1p(np.maximum(days, 0.0)), np.nan)
    np.log1p(out[:, :, 0], out=out[:, :, 0])


def _moments(queries: Queries) -> Times:
    """When each request is; just after its newest event where it has no time of its own."""
    if queries.as_of_us is not None:
        return queries.as_of_us
    assert queries.time_us is not None
    moment = np.zeros(len(queries), dtype=np.int64)
    some = np.diff(queries.indptr) > 0
    moment[some] = queries.time_us[queries.indptr[1:][some] - 1] + 1
    return moment


@numba.njit(cache=True, nogil=True)
def _count(  # noqa: PLR0917  (kernels know no keywords)
    indptr: Ints,
    group: Rows,
    counts: Bools,
    time_us: Times,
    asked: Rows,
    seen: Ints,
    last: Times,
    n: Doubles,
    newest: Times,
) -> None:
    """Events on each asked group, and the newest; scratch: ``seen`` stays all 0, ``last`` is anything."""
    for row in range(asked.shape[0]):
        begin, end = indptr[row], indptr[row + 1]
        for event in range(begin, end):
            if counts[event]:
                which = group[event]
                if seen[which] == 0 or time_us[event] > last[which]:
                    last[which] = time_us[event]
                seen[which] += 1
        for place in range(asked.shape[1]):
            which = asked[row, place]
            if which >= 0:
                n[row, place] = seen[which]
                newest[row, place] = last[which]
        # Only what this request touched: a whole catalogue per request would take longer.
        for event in range(begin, end):
            seen[group[event]] = 0


@numba.njit(cache=True, nogil=True)
def _match(  # noqa: PLR0917
    indptr: Ints,
    label: Rows,
    share: Floats,
    item_row: Rows,
    item_indptr: Ints,
    item_label: Rows,
    liked: Doubles,
    out: Doubles,
) -> None:
    """Summed shares of the labels each item carries; ``liked`` is scratch, left as zeros."""
    for row in range(item_row.shape[0]):
        begin, end = indptr[row], indptr[row + 1]
        if begin == end:
            continue
        for entry in range(begin, end):
            if label[entry] != UNSEEN:  # labels that have no row of their own match nothing
                liked[label[entry]] = share[entry]
        for place in range(item_row.shape[1]):
            item = item_row[row, place]
            if item >= 0 and item_indptr[item] < item_indptr[item + 1]:
                total = 0.0
                for entry in range(item_indptr[item], item_indptr[item + 1]):
                    total += liked[item_label[entry]]
                out[row, place] = total
        for entry in range(begin, end):
            liked[label[entry]] = 0.0
