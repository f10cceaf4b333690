"""Other people's scores, judged on the same requests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.frames import Frame, check_ids, to_polars
from crossfade.errors import DataError, Problem
from crossfade.types import Csr, Floats, Rows

COLUMNS = ("user_id", "item_id", "score")


@dataclass(frozen=True)
class OutsideScores:
    """Scores that somebody else computed, as a scorer.

    Attributes:
        name: Name in the tables.
        place: Position of each pair in ``score`` plus 1, shape ``(n_users, n_items)``; a pair
            that is not stored has no score.
        score: All scores.
    """

    name: str
    place: Csr
    score: Floats

    def score_batch(self, queries: Queries) -> Floats:
        """Scores of the whole catalogue, NaN for pairs not in the file and for strangers."""
        out = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
        known = np.flatnonzero(queries.user_row >= 0)
        stored = self.place[queries.user_row[known]].tocoo()
        # A stored place instead of a stored score, so that a score of 0 stays a score.
        out[known[stored.coords[0]], stored.coords[1]] = self.score[stored.data - 1]
        return out


def read_scores(path: Path, dataset: Dataset, name: str | None = None) -> OutsideScores:
    """Scores from a Parquet file; see `outside_scores`.

    Args:
        path: The file.
        dataset: Its users and items.
        name: Name in the tables; by default the file's name.

    Raises:
        DataError: If the file is not readable, or as `outside_scores`.
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path of the scores") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None
    return outside_scores(frame, dataset, name if name is not None else path.stem, str(path))


def outside_scores(
    scores: Frame, dataset: Dataset, name: str, table: str | None = None
) -> OutsideScores:
    """Scores from a table with the columns ``user_id``, ``item_id``, ``score``.

    Args:
        scores: The table.
        dataset: Its users and items; users in the table that never ask do no harm.
        name: Name of the model.
        table: What messages call the table; by default the name of the model.

    Raises:
        DataError: If a column is missing, a score is missing or not finite, an id is unknown, or
            a pair occurs twice; all faults at once.
    """
    table = name if table is None else table
    frame, where = _conform(to_polars(scores, table), table), Path(table).name
    problems = []
    bad = ~frame["score"].is_finite().fill_null(value=False)
    if bad.any():
        mend = "drop the rows a model cannot score; what is not in the file counts as unscored"
        problems.append(_problem("no_score", where, frame["score"], bad, mend))
    rows = {}
    for noun, ids in (("user", dataset.user_ids), ("item", dataset.item_ids)):
        column = f"{noun}_id"
        rows[noun] = ids.encode(frame[column])
        unknown = rows[noun].is_null()
        if unknown.any():
            mend = f"use the ids of {dataset.name} ({len(ids):,} {noun}s) or drop those rows"
            problems.append(_problem(f"unknown_{noun}", where, frame[column], unknown, mend))
    twice = ~frame.select(pl.struct("user_id", "item_id").is_first_distinct()).to_series()
    if twice.any():
        mend = "keep one score per pair"
        problems.append(_problem("duplicate_pair", where, frame["item_id"], twice, mend))
    if problems:
        raise DataError(f"{table}: the scores cannot be used", problems)
    if frame.is_empty():
        raise DataError(f"{table}: holds no scores; give at least one row")
    columns: tuple[Rows, Rows] = (rows["user"].to_numpy(), rows["item"].to_numpy())
    place = Csr(
        (np.arange(1, frame.height + 1, dtype=np.int64), columns),
        shape=(dataset.n_users, dataset.n_items),
    )
    return OutsideScores(name, place, frame["score"].to_numpy().astype(np.float32))


def _conform(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """The columns there must be, in the types they must have."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"{table}: column {', '.join(missing)} is missing; the columns are {', '.join(frame.columns)}; "
            f"rename them to {', '.join(COLUMNS)}"
        )
    check_ids(frame, COLUMNS[:2], table)
    if not frame.schema["score"].is_numeric():
        raise DataError(
            f"{table}: column score holds {frame.schema['score']}; it must hold numbers"
        )
    return frame.select(
        pl.col("user_id").cast(pl.String),
        pl.col("item_id").cast(pl.String),
        pl.col("score").cast(pl.Float64),
    )


def _problem(check: str, where: str, column: pl.Series, wrong: pl.Series, mend: str) -> Problem:
    first = int(wrong.arg_max() or 0)
    value = column[first]
    found = f"{column.name} is {'missing' if value is None else repr(value)}"
    return Problem(check, int(wrong.sum()), f"{where}: row {first + 1}", found, mend)
