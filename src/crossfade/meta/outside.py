"""Somebody else's scores as labelled signals: scaled, with context, and with what was wanted."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.errors import DataError
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.fusion.scaling import OFFSET
from crossfade.meta.outside_checks import count
from crossfade.meta.outside_context import OutsideContext, gain_of
from crossfade.meta.outside_events import Events
from crossfade.meta.outside_outcomes import met_items, requests_frame, wanted_items
from crossfade.meta.outside_scaling import places, zscores
from crossfade.meta.outside_table import ScoreTable
from crossfade.types import Bools, Doubles, Floats, Ints, Rows, Times

N_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class OutsideLists:
    """Requests and their candidates; B requests, N candidates of all of them, S bases.

    Attributes:
        requests: ``user_id``, ``timestamp`` and ``request_id``, nulls where not given.
        bases: Names.
        dataset: The events, with a row for everybody and everything that is asked or scored.
        user_row: Who asks, shape ``(B,)``.
        indptr: Candidates of request ``b`` are ``[indptr[b], indptr[b + 1])``; may be none.
        item_row: Candidates, shape ``(N,)``.
        zscore: Scaled over all that a base said in a request, shape ``(N, S)``.
        reciprocal_rank: Likewise by place.
        relevant: Which candidates were then wanted, shape ``(N,)``.
        n_relevant: Wanted items of each request, on the list or not, shape ``(B,)``.
        context: None where nothing is known from before.
        notes: What a reader should know.
    """

    requests: pl.DataFrame
    bases: tuple[str, ...]
    dataset: Dataset
    user_row: Rows
    indptr: Ints
    item_row: Rows
    zscore: Floats
    reciprocal_rank: Floats
    relevant: Bools
    n_relevant: Doubles
    context: OutsideContext | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.user_row)

    @property
    def n_candidates(self) -> Ints:
        """Length of each list, shape ``(B,)``."""
        return np.diff(self.indptr)

    def labelled(self, asked: Ints) -> LabelledSignals:
        """Signals of some requests, in the given order."""
        sizes = self.n_candidates[asked]
        mask = np.arange(max(1, int(sizes.max(initial=0)))) < sizes[:, None]  # (n, L)
        flat = (self.indptr[asked][:, None] + np.arange(mask.shape[1]))[mask]
        item_row = np.full(mask.shape, -1, dtype=np.int32)
        item_row[mask] = self.item_row[flat]
        relevant = np.zeros(mask.shape, dtype=np.bool_)
        relevant[mask] = self.relevant[flat]
        score, rank = (
            np.full((*mask.shape, len(self.bases)), np.nan, dtype=np.float32) for _ in range(2)
        )
        score[mask], rank[mask] = self.zscore[flat], self.reciprocal_rank[flat]
        signals = Signals(
            score=score,
            mask=mask,
            reciprocal_rank=rank,
            user_row=self.user_row[asked],
            columns=Columns(self.bases),
        )
        if self.context is not None:
            user, item = self.context.read(asked, item_row)
            columns = Columns(self.bases, self.context.user_columns, self.context.item_columns)
            signals = replace(signals, user=user, item=item, columns=columns)
        return LabelledSignals(signals, item_row, relevant, self.n_relevant[asked])


def make_lists(table: ScoreTable, events: Events, n_candidates: int = 100) -> OutsideLists:
    """Candidates of each request, their signals, and what was then wanted of them.

    Candidates are the union of each base's best ``n_candidates`` among the rows given; scales
    are taken over all of them. Wanted is what a person did positively from the moment the
    scores were made until their next request; without moments, in all events. Where no list
    holds anything of its history, only new items count as wanted.

    Args:
        table: The scores.
        events: What happened; before the moments of the scores it is context.
        n_candidates: How deep each base is read.

    Raises:
        DataError: If scores have moments and events have none, or nobody who was scored
            then did anything positive.
    """
    dataset = events.joined(table)
    user_row = dataset.user_ids.rows(table.requests["user_id"].to_list())
    as_of_us = _moments(table, dataset)
    shared, single = places(table.score, table.indptr)
    keep = ((single > 0) & (single <= n_candidates)).any(axis=1)
    shared = shared[keep]
    owner = np.repeat(np.arange(len(table)), np.diff(table.indptr))[keep]
    item_row = dataset.item_ids.encode(table.item_id).to_numpy()[keep].astype(np.int32)
    pairs = pl.DataFrame({"request": owner, "item_row": item_row})
    wanted, notes = _wanted(dataset, requests_frame(user_row, as_of_us), pairs)
    if wanted.is_empty():
        raise DataError(_nobody(dataset, user_row, as_of_us))
    listed = pairs.with_row_index("at").join(wanted, on=["request", "item_row"], how="inner")
    relevant = np.zeros(len(pairs), dtype=np.bool_)
    relevant[listed["at"].to_numpy()] = True
    n_cut = int((~keep & ~np.isnan(table.score).all(axis=1)).sum())
    if n_cut:
        notes.append(
            f"lists are cut to the best {n_candidates:,} of each base: {count(n_cut, 'row')} out"
        )
    gains = _gains(wanted, listed, shared, user_row)
    context, why_not = _context(dataset, table.bases, user_row, as_of_us, gains)
    notes += [why_not] if why_not else []
    rank = np.where(shared > 0, (OFFSET + 1) / (OFFSET + np.maximum(shared, 1)), np.nan)
    return OutsideLists(
        requests=table.requests,
        bases=table.bases,
        dataset=dataset,
        user_row=user_row,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(table)))]),
        item_row=item_row,
        zscore=zscores(table.score, table.indptr)[keep],
        reciprocal_rank=rank.astype(np.float32),
        relevant=relevant,
        n_relevant=np.bincount(wanted["request"], minlength=len(table)).astype(np.float64),
        context=context,
        notes=(*table.notes, *notes),
    )


def _moments(table: ScoreTable, dataset: Dataset) -> Times | None:
    """When each request was asked; None where nobody says.

    Raises:
        DataError: If the scores say when and the events do not.
    """
    when = table.requests["timestamp"]
    if when.null_count():
        return None
    if not dataset.has_times:
        raise DataError(
            f"{dataset.name}: events have no times, so nothing says what came after the scores; "
            "give events of after the scores only, and leave out when those were made"
        )
    times: Times = when.to_physical().to_numpy()
    return times


def _wanted(
    dataset: Dataset, requests: pl.DataFrame, pairs: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """What each request wanted, and what to say of it."""
    wanted, met = wanted_items(dataset, requests), met_items(dataset, requests)
    if met.is_empty():
        return wanted, []
    if pairs.join(met, on=["request", "item_row"], how="semi").height:
        return wanted, [
            "some lists hold items of their history, so known items count as wanted too"
        ]
    fresh = wanted.join(met, on=["request", "item_row"], how="anti", maintain_order="left")
    return fresh, ["no list holds an item of its history, so only new items count as wanted"]


def _context(
    dataset: Dataset,
    bases: tuple[str, ...],
    user_row: Rows,
    as_of_us: Times | None,
    gains: pl.DataFrame,
) -> tuple[OutsideContext | None, str]:
    """What is known from before the first request; or nothing, and why."""
    if as_of_us is None:
        return None, (
            "no context: nobody says when the scores were made, so every event counts as later; "
            "only blends that need none are tried"
        )
    assert dataset.time_us is not None
    if dataset.time_us[0] >= as_of_us.min():
        return None, (
            "no context: there are no events from before the first scores; "
            "only blends that need none are tried"
        )
    return OutsideContext(dataset, bases, user_row, as_of_us, gains), ""


def _gains(wanted: pl.DataFrame, listed: pl.DataFrame, place: Ints, user_row: Rows) -> pl.DataFrame:
    """What each base gained by each wanted item; see `OutsideContext`."""
    gain = gain_of(place[listed["at"].to_numpy()])
    there = listed.select(
        "request", "time_us", **{str(s): pl.Series(gain[:, s]) for s in range(gain.shape[1])}
    )
    missed = wanted.join(listed, on=["request", "item_row"], how="anti").select(
        "request", "time_us"
    )
    gains = pl.concat([there, missed], how="diagonal").with_columns(
        pl.col(str(s)).fill_null(0.0) for s in range(gain.shape[1])
    )
    return gains.with_columns(user_row=pl.Series(user_row[gains["request"].to_numpy()]))


def _nobody(dataset: Dataset, user_row: Rows, as_of_us: Times | None) -> str:
    """Why nobody wanted anything."""
    asked = np.unique(user_row)
    acting = dataset.events["user_row"].unique().sort().to_numpy()
    if not np.isin(asked, acting).any():
        ours, theirs = (
            ", ".join(dataset.user_ids.decode(rows[:N_EXAMPLES])) for rows in (asked, acting)
        )
        return (
            f"none of the {len(asked):,} users with scores ({ours}, …) is among the {len(acting):,} users of the "
            f"events ({theirs}, …); use the same ids in both"
        )
    when = "" if as_of_us is None else f" from {to_datetime(int(as_of_us.min())).isoformat()} on"
    return (
        f"none of the {len(asked):,} users with scores did anything positive{when} that could be new to them, so "
        "nothing can be learned; give events of after the scores"
    )
