"""Lists of many users: made by several threads, written part by part, and gone on with after a kill.

users ──fixed ranges──► parts ──pieces, several at once──► lists ──► part-00000.parquet …
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossfade.batch.parts import opened
from crossfade.batch.users import rows_of
from crossfade.data.fingerprint import fingerprint
from crossfade.errors import ConfigError
from crossfade.hybrid import HybridModel
from crossfade.meta.serving import AT_ONCE, Filters
from crossfade.progress import task
from crossfade.ranking import RankingConfig
from crossfade.rng import generator
from crossfade.threads import alone, n_threads, one_blas_thread
from crossfade.types import Rows
from crossfade.version import __version__

CHUNK = 2_000
"""Users of one part."""

PIECE = 2 * AT_ONCE
"""Users that one thread lists at a time; whole batches, so that pieces change no number."""


@dataclass(frozen=True)
class Made:
    """What one call did.

    Attributes:
        directory: Where the lists are.
        version: Of the system that made them.
        n_users: Whose lists are there now.
        n_made: Of how many this call made them; 0 where all were there.
        n_parts: Files they are in.
    """

    directory: Path
    version: str
    n_users: int
    n_made: int
    n_parts: int


@dataclass(frozen=True, eq=False)
class _Lists:
    """What is listed for whom; equal for all parts."""

    model: HybridModel
    k: int
    filters: Filters | None
    ranking: RankingConfig
    seed: int

    def of(self, rows: Rows) -> pl.DataFrame:
        """The lists of some users."""
        ids = self.model.dataset.user_ids.decode(rows)
        if self.ranking.explore == 0:
            return self._listed(ids, None)
        # Chance must not depend on who else is listed: each user has a generator of their own.
        return pl.concat(
            self._listed([user], user_rng(self.seed, int(row)))
            for user, row in zip(ids, rows, strict=True)
        )

    def _listed(self, ids: list[str], rng: np.random.Generator | None) -> pl.DataFrame:
        return self.model.recommend_batch(ids, self.k, self.filters, self.ranking, rng)

    def facts(self, rows: Rows, chunk: int, columns: dict[str, str]) -> dict[str, Any]:
        """What every part has in common, so that parts made otherwise are told apart."""
        filters = self.filters or Filters()
        return {
            "version": self.model.version,
            "k": self.k,
            "n_users": len(rows),
            "users": fingerprint(rows),
            "chunk": chunk,
            "seed": self.seed,
            **{
                f"ranking.{name}": value
                for name, value in self.ranking.model_dump(mode="json").items()
            },
            "filters.rules": list(filters.rules),
            "filters.block": _digest(filters.block) if filters.block else None,
            "filters.allow": None if filters.allow is None else _digest(filters.allow),
            "columns": columns,
            "crossfade": __version__,
        }


def user_rng(seed: int, user_row: int) -> np.random.Generator:
    """Where chance in the list of one user comes from: seed and row alone, never who else is listed.

    `HybridModel.recommend` with it gives the list that `recommend_all` writes.

    Raises:
        ConfigError: If the seed is negative.
    """
    return generator(seed, f"batch.user.{user_row}")


def recommend_all(
    model: HybridModel,
    to: Path,
    *,
    k: int = 10,
    users: Sequence[str] | None = None,
    filters: Filters | None = None,
    ranking: RankingConfig | None = None,
    seed: int = 0,
    chunk: int = CHUNK,
    fresh: bool = False,
) -> Made:
    """Write the lists of many users, as `HybridModel.recommend` gives them one by one.

    Each part holds the lists of ``chunk`` users, in the columns of `HybridModel.recommend_batch`.
    The same call after a kill goes on with the first missing part and ends in the same rows. Memory
    is bounded by ``chunk`` and the number of threads, however many users there are. Several
    processes wait for each other.

    Args:
        model: Saved, for its version is in the manifest.
        to: Directory of the parts; created with its parents.
        k: How many for each, 1 or more.
        users: Who, in this order, each once; None takes everybody in the log.
        filters: As in `HybridModel.recommend`.
        ranking: As in `HybridModel.recommend`; None takes the settings.
        seed: Of places left to chance; see `user_rng`.
        chunk: Users of one part, 1 or more.
        fresh: Start over, whatever lists are there.

    Returns:
        What was done. A user whom no base can answer has no rows.

    Raises:
        UnknownIdError: If a user is unknown.
        ConfigError: If the model was never saved; k, the seed, the chunk or the users are wrong; lists
            are there that were made otherwise; or as in `HybridModel.recommend`.
        BundleError: If the directory holds something else, or the disk refuses.
    """
    _check(model, k, chunk)
    rows = rows_of(model.dataset.user_ids, users)
    lists = _Lists(model, k, filters, ranking or model.config.ranking, seed)
    user_rng(seed, 0)  # refuses a wrong seed, also where nothing is left to chance
    # One list before anything is written: what is wrong with the call leaves no trace then.
    columns = {name: str(kind) for name, kind in lists.of(rows[:1]).schema.items()}
    facts = lists.facts(rows, chunk, columns)
    with opened(to, facts, fresh=fresh) as parts, one_blas_thread(), _workers() as workers:
        ranges = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
        missing = [number for number in range(len(ranges)) if number not in parts]
        n_made = sum(len(ranges[number]) for number in missing)
        with task("make lists", n_made) as running:
            for number in missing:
                made = []
                for piece, n_users in _in_pieces(workers, lists, ranges[number]):
                    made.append(piece)
                    running.advance(n_users)
                parts.write(number, pl.concat(made))
    return Made(to, model.version, len(rows), n_made, len(ranges))


def _in_pieces(
    workers: ThreadPoolExecutor, lists: _Lists, rows: Rows
) -> Iterator[tuple[pl.DataFrame, int]]:
    """The lists of a part, piece by piece, each with its number of users."""
    pieces = [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]
    return zip(workers.map(lists.of, pieces), map(len, pieces), strict=True)


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    # Threads that start threads only wait for each other.
    pool = ThreadPoolExecutor(n_threads(), initializer=alone())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure nobody wants the rest of the part


def _check(model: HybridModel, k: int, chunk: int) -> None:
    faults = []
    if not model.version:
        faults.append("the system has no version yet; save it, then make its lists")
    if k < 1:
        faults.append(f"k must be 1 or more, got {k}")
    if chunk < 1:
        faults.append(f"chunk must be 1 or more users, got {chunk}")
    if faults:
        raise ConfigError("; ".join(faults))


def _digest(ids: Sequence[str]) -> str:
    """Of a set of ids, which may be large; their number leads, for people."""
    different = sorted(set(ids))
    return f"{len(different)} items, {fingerprint(different)[:16]}"
