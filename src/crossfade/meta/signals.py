"""Candidate lists with the scaled scores of every base."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numba
import numpy as np

from crossfade.arrays import below, top_k
from crossfade.data import Queries
from crossfade.data.splits import Trial
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.scaling import Scaling, measure
from crossfade.fusion.standings import Moments, Standings
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.types import Bools, Csr, Doubles, Floats, Ints, Rows

MAX_CELLS = 20_000_000
"""Scores held at once while signals are built (80 MB per base)."""


def trial_signals(
    trial: Trial,
    bases: Sequence[Scorer],
    scalings: Sequence[Scaling],
    *,
    n_candidates: int,
    max_requests: int,
    seed: int,
) -> dict[Scaling, LabelledSignals]:
    """Signals on each scale for a trial's requests.

    Candidates are the union of each base's best ``n_candidates``; wanted items that no
    base proposes are *not* put in, so quality measured here is quality of real lists.

    Args:
        trial: Its bases must have been fitted on ``trial.train``.
        bases: Fitted recommenders; their order is the order of S.
        scalings: The scales to build.
        n_candidates: Items taken from each base.
        max_requests: A larger trial is sampled down to this many requests.
        seed: For that sample.
    """
    trial = sampled(trial, max_requests, seed)
    queries, relevant = trial.queries, trial.relevant
    size = max(1, MAX_CELLS // queries.n_items)
    pieces: dict[Scaling, list[LabelledSignals]] = {scaling: [] for scaling in scalings}
    with task(f"score the {trial.name} block", len(queries)) as running:
        for place, batch in queries.batches(size):
            raw = [
                allowed_scores(base, batch, trial.exclude_seen, trial.candidates) for base in bases
            ]
            shown = _without_hidden(raw, trial, place)
            item_row = union([top_k(scores, n_candidates) for scores in shown])
            for scaling in scalings:
                pieces[scaling].append(_label(raw, scaling, item_row, Csr(relevant[place])))
            running.advance(len(batch))
    return {scaling: stacked(parts) for scaling, parts in pieces.items()}


def sampled(trial: Trial, max_requests: int, seed: int) -> Trial:
    """The trial, cut down to so many of its requests."""
    if len(trial.queries) <= max_requests:
        return trial
    places = generator(seed, "meta.requests").choice(
        len(trial.queries), max_requests, replace=False
    )
    return taken(trial, np.sort(places))


def taken(trial: Trial, places: Ints) -> Trial:
    """Some of a trial's requests, in the given order."""
    hidden = None if trial.hidden is None else Csr(trial.hidden[places])
    return replace(
        trial,
        queries=trial.queries.take(places),
        relevant=Csr(trial.relevant[places]),
        hidden=hidden,
    )


def _without_hidden(raw: Sequence[Floats], trial: Trial, place: slice) -> Sequence[Floats]:
    """Scores with NaN where the trial hides an item; only for proposing.

    The scale is taken over hidden items too: whoever blends a real request does not know
    what the person hides.
    """
    if trial.hidden is None:
        return raw
    where = Csr(trial.hidden[place]).tocoo().coords
    shown = [scores.copy() for scores in raw]
    for scores in shown:
        scores[where] = np.nan
    return shown


def allowed_scores(
    base: Scorer,
    queries: Queries,
    exclude_seen: bool,
    candidates: Bools | None = None,
) -> Floats:
    """As `measured_scores`, without their moments."""
    return measured_scores(base, queries, exclude_seen, candidates)[0]


def measured_scores(
    base: Scorer,
    queries: Queries,
    exclude_seen: bool,
    candidates: Bools | None = None,
    room: Floats | None = None,
) -> tuple[Floats, Moments]:
    """Scores with NaN also where an item may not be recommended, and where one is infinite.

    Some models write minus infinity where they cannot score, and one infinite score would leave
    a request without any: its mean and spread would be infinite too. They are written to ``room``,
    ``(n, n_items)``, where it is given.
    """
    with np.errstate(over="ignore"):  # what is too large for single precision becomes infinite
        found = np.ascontiguousarray(base.score_batch(queries), dtype=np.float32)
    scores = np.empty_like(found) if room is None else room
    allowed = np.ones(queries.n_items, dtype=np.bool_) if candidates is None else candidates
    seen = queries.item_row if exclude_seen else queries.item_row[:0]
    indptr = queries.indptr if exclude_seen else np.zeros_like(queries.indptr)
    moments = Moments.empty(len(queries))
    _allow(found, allowed, indptr, seen, scores, *moments)
    return scores, moments


@numba.njit(cache=True, nogil=True)
def _allow(  # noqa: PLR0917  (kernels know no keywords)
    found: Floats,
    allowed: Bools,
    indptr: Ints,
    seen: Rows,
    out: Floats,
    n_known: Ints,
    mean: Doubles,
    inverse: Doubles,
) -> None:
    nothing = np.float32(np.nan)
    for row in range(found.shape[0]):
        values, line = found[row], out[row]
        for column in range(len(values)):
            value = values[column]
            fine = allowed[column] and np.abs(value) < np.float32(np.inf)  # which NaN is not
            line[column] = value if fine else nothing
        for place in range(indptr[row], indptr[row + 1]):
            line[seen[place]] = np.nan
        n_known[row], mean[row], inverse[row] = measure(line)  # while it is in the cache


def union(proposed: Sequence[Rows]) -> Rows:
    """Sorted distinct proposals of each request, -1 at the end of shorter lists.

    Args:
        proposed: By each base, ``(n, k)``, in any order; -1 stands for none.
    """
    proposals = np.concatenate(proposed, axis=1).astype(np.int32, copy=False)
    proposals.sort(axis=1)
    out = np.full(proposals.shape, -1, dtype=np.int32)
    return out[:, : max(1, _distinct(proposals, out))].copy()  # of a width of its own


@numba.njit(cache=True, nogil=True)
def _distinct(ascending: Rows, out: Rows) -> int:
    """Each row's values from 0 on, once; gives how many the longest has."""
    longest = 0
    for row in range(len(ascending)):
        size, last = 0, -1
        for value in ascending[row]:
            if value > last:
                out[row, size] = last = value
                size += 1
        longest = max(longest, size)
    return longest


def _label(
    raw: Sequence[Floats], scaling: Scaling, item_row: Rows, relevant: Csr
) -> LabelledSignals:
    mask = item_row >= 0
    columns = np.where(mask, item_row, 0)
    score, rank = (np.empty((*mask.shape, len(raw)), dtype=np.float32) for _ in range(2))
    for base, scores in enumerate(raw):
        Standings(scores).tell(item_row, score[:, :, base], rank[:, :, base])
    wanted = np.take_along_axis(relevant.toarray() > 0, columns, axis=1) & mask
    return LabelledSignals(
        Signals(score if scaling == "zscore" else rank, mask),
        item_row,
        wanted,
        np.diff(relevant.indptr).astype(np.float64),
    )


def stacked(parts: Sequence[LabelledSignals]) -> LabelledSignals:
    """Requests of several blocks one below the other, with lists as wide as the widest.

    Raises:
        ValueError: If their columns differ.
    """
    first = parts[0].signals
    if any(part.signals.columns != first.columns for part in parts):
        raise ValueError("only signals with the same columns can be stacked")

    def maybe(name: str, *, lists: bool) -> Any:
        arrays = [getattr(part.signals, name) for part in parts]
        if any(array is None for array in arrays):
            return None
        return below(arrays, np.nan) if lists else np.concatenate(arrays)

    signals = Signals(
        score=below([part.signals.score for part in parts], np.nan),
        mask=below([part.signals.mask for part in parts], fill=False),
        reciprocal_rank=maybe("reciprocal_rank", lists=True),
        user=maybe("user", lists=False),
        item=maybe("item", lists=True),
        user_row=maybe("user_row", lists=False),
        columns=first.columns,
    )
    return LabelledSignals(
        signals,
        below([part.item_row for part in parts], -1),
        below([part.relevant for part in parts], fill=False),
        np.concatenate([part.n_relevant for part in parts]),
    )
