"""Score files joined: who was asked, and what each base said of which item."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path

import numpy as np
import polars as pl

from crossfade.errors import DataError, Problem
from crossfade.meta.outside_checks import KEYS, Known, checked_scores
from crossfade.meta.outside_formats import SourceFormat, read_source
from crossfade.types import Doubles, Ints

PAIR = (*KEYS, "item_id")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores from elsewhere; B requests, N candidates of all of them, S bases.

    Attributes:
        requests: ``user_id``, ``request_id`` and ``timestamp`` of each request, sorted by user,
            time and request.
        indptr: Candidates of request ``b`` are ``[indptr[b], indptr[b + 1])``, shape ``(B + 1,)``.
        item_id: Of each candidate, in the order of ids within a request.
        score: Shape ``(N, S)``; NaN where a base gives none.
        bases: Their names.
        notes: What a reader should know.
    """

    requests: pl.DataFrame
    indptr: Ints
    item_id: pl.Series
    score: Doubles
    bases: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.requests.height


def read_scores(
    paths: Sequence[Path],
    *,
    source: SourceFormat = "auto",
    as_of: datetime | None = None,
    known: Known | None = None,
    ignore_unknown: bool = False,
) -> ScoreTable:
    """Score files as one table.

    Args:
        paths: One or more; a file without a column ``base`` is one base, named as the file.
        source: What wrote them; see `read_source`.
        as_of: When all scores were made, for files without a column ``timestamp``.
        known: Ids there are, by ``user_id`` and ``item_id``; any id goes for what is not in it.
        ignore_unknown: Leave rows with other ids out instead of refusing them.

    Raises:
        DataError: With all faults of all files: ids missing or unknown, scores that are no
            number or infinite, pairs scored twice, a base without any score, unreadable times.
    """
    frames: list[pl.DataFrame] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for path in paths:
        checked = checked_scores(path, read_source(path, source), as_of, known, ignore_unknown)
        frames.append(checked.frame)
        problems += checked.problems
        notes += checked.notes
    if not problems:
        problems = [*_alike(paths, frames), *_apart(paths, frames)]
    if problems:
        raise DataError(f"{_names(paths)}: the scores cannot be used", problems)
    joined = reduce(
        lambda left, right: left.join(right, on=PAIR, how="full", coalesce=True, nulls_equal=True),
        frames,
    )
    if joined.is_empty():
        raise DataError(f"{_names(paths)}: no scores; give at least one row")
    return _table(joined, notes)


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def _table(joined: pl.DataFrame, notes: list[str]) -> ScoreTable:
    joined = joined.sort("user_id", "timestamp", "request_id", "item_id")
    bases = tuple(name for name in joined.columns if name not in PAIR)
    place = joined.select(pl.struct(KEYS).rle_id()).to_series().to_numpy().astype(np.int64)
    counts = np.bincount(place)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    score = joined.select(bases).fill_null(np.nan).to_numpy().astype(np.float64)
    for s, base in enumerate(bases):
        values = score[:, s][~np.isnan(score[:, s])]
        if len(values) > 1 and values.min() == values.max():
            notes.append(f"base {base} gives every item the same score, {values[0]:g}")
    requests = joined.select(KEYS)[indptr[:-1].tolist()]
    return ScoreTable(requests, indptr, joined["item_id"], score, bases, tuple(notes))


def _alike(paths: Sequence[Path], frames: Sequence[pl.DataFrame]) -> list[Problem]:
    """Requests of two files only meet where both say when and which, or neither does."""
    problems = []
    for key in ("timestamp", "request_id"):
        has = [frame[key].null_count() < frame.height for frame in frames]
        if any(has) and not all(has):
            mend = f"give every file the column {key}, or none"
            found = f"no {key}, but {paths[has.index(True)].name} has"
            problems.append(Problem("other_requests", 0, paths[has.index(False)].name, found, mend))
    return problems


def _apart(paths: Sequence[Path], frames: Sequence[pl.DataFrame]) -> list[Problem]:
    """Each base comes from one file, and has a score in it."""
    problems: list[Problem] = []
    owner: dict[str, str] = {}
    for path, frame in zip(paths, frames, strict=True):
        for base in (name for name in frame.columns if name not in PAIR):
            if base in owner:
                found = f"base {base} is in {owner[base]} too"
                mend = "give each base one file, or name it in a column base"
                problems.append(Problem("base_twice", 0, path.name, found, mend))
            owner[base] = path.name
            if frame.height and frame[base].null_count() == frame.height:
                found = f"base {base} scores nothing"
                mend = "leave it out, or check the join that made the table"
                problems.append(Problem("empty_base", 0, path.name, found, mend))
    return problems
