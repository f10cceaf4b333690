"""A candidate beside the promoted version, on what neither has learned and on what both have."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.continuing import SAME
from crossfade.data.schema import PLAY
from crossfade.data.splits import ProtocolConfig, Trial, window_trial
from crossfade.errors import CrossfadeError, DataError
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.features.situation import PREFIX
from crossfade.meta.serving import Filters
from crossfade.online.asks import Ask, Event
from crossfade.online.system import LiveSystem
from crossfade.online.updates.config import AdaptConfig
from crossfade.progress import task
from crossfade.types import Csr, Doubles, Ints, Rows

AT_ONCE = 64
"""Requests that are answered in one go."""

N_MOMENTS = 5
"""Earlier moments at which requests are made again."""

Live = Mapping[str, Sequence[Event]]
"""Live events by user id."""


@dataclass(frozen=True)
class Comparison:
    """NDCG of two versions on the same requests, means over people; None where nobody asks.

    Attributes:
        n_users: People.
        n_requests: Requests.
        promoted: Of the version that serves.
        candidate: Of the candidate.
        difference: Candidate less promoted, paired by person.
        low: Lower end of its interval; None with fewer than two people.
        high: Upper end.
    """

    n_users: int = 0
    n_requests: int = 0
    promoted: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def newest_requests(
    dataset: Dataset,
    start_us: int,
    protocol: ProtocolConfig,
    n_most: int,
    rng: np.random.Generator,
) -> list[Trial]:
    """Requests from a moment to the end of the log, as the protocol of the system asks them.

    Args:
        dataset: The whole log.
        start_us: Where candidates stop learning.
        protocol: Of the settings of the system.
        n_most: With more requests, so many are drawn.
        rng: Draws them.

    Returns:
        One trial whose lists may hold anything; none where nobody asks.
    """
    assert dataset.time_us is not None
    window = (start_us, int(dataset.time_us[-1]) + 1)
    found = _drawn(dataset, "newest", window, protocol, n_most=n_most, rng=rng)
    return [replace(trial, candidates=None) for trial in found]


def replayed_requests(
    dataset: Dataset,
    stop_us: int,
    span_us: int,
    protocol: ProtocolConfig,
    *,
    n_most: int,
    rng: np.random.Generator,
) -> list[Trial]:
    """Requests that could have been made earlier, at some random moments of the log.

    Only what was known at such a moment may be listed: nobody forgets who prefers what came later.

    Args:
        dataset: The whole log.
        stop_us: Only what happened before this is asked for.
        span_us: How long after a moment something is wanted; a quarter of the time at most.
        protocol: As for `newest_requests`.
        n_most: How many requests, about.
        rng: Draws moments and requests.

    Returns:
        A trial for each moment at which somebody asks.
    """
    assert dataset.time_us is not None
    past = dataset.time_us[dataset.time_us < stop_us]
    if not len(past):
        return []
    span_us = min(span_us, int(stop_us - past[0]) // 4)
    moments = rng.choice(past[past <= stop_us - span_us], size=N_MOMENTS)
    known, n_each = protocol.changed(candidates="known"), -(-n_most // N_MOMENTS)
    return [
        trial
        for moment in np.unique(moments).tolist()
        for trial in _drawn(
            dataset, "replayed", (moment, moment + span_us), known, n_most=n_each, rng=rng
        )
    ]


def _drawn(
    dataset: Dataset,
    name: str,
    window: tuple[int, int],
    protocol: ProtocolConfig,
    *,
    n_most: int,
    rng: np.random.Generator,
) -> list[Trial]:
    """Some of the requests of a window; nothing where nobody asks."""
    try:
        trial = window_trial(dataset, name, window, protocol)
    except DataError:
        return []
    n = len(trial.queries)
    places = np.sort(rng.choice(n, size=min(n, n_most), replace=False))
    drawn = replace(trial, queries=trial.queries.take(places), relevant=Csr(trial.relevant[places]))
    return [drawn]


def live_events(dataset: Dataset, known: Dataset, user_rows: Rows) -> Live:
    """What who asks did that an older data set does not hold, as a service would hand it over."""
    asking = dataset.user_ids.ids.gather(np.unique(user_rows))
    new = (
        dataset.with_ids()
        .filter(pl.col("user_id").is_in(asking.implode()))
        .join(known.with_ids().select(SAME), on=SAME, how="anti", maintain_order="left")
        .with_columns(time_us=pl.col("timestamp").to_physical())
    )
    contexts = [name for name in new.columns if name.startswith(PREFIX)]
    live: dict[str, list[Event]] = defaultdict(list)
    for row in new.iter_rows(named=True):
        event = Event(
            row["item_id"],
            row["time_us"],
            row.get("event") or PLAY,
            row.get("value"),
            row.get("played_ms"),
            row.get("skipped"),
            row.get("session_id"),
            {name: row[name] for name in contexts if row[name] is not None},
        )
        live[row["user_id"]].append(event)
    return live


def answered(system: LiveSystem, trial: Trial, dataset: Dataset, live: Live, depth: int) -> Doubles:
    """NDCG of the list that a system would have served, ``(n,)``.

    Args:
        system: Asked as the service asks it, with the person's live events before the request.
        trial: The requests.
        dataset: The log that they are of.
        live: Events beyond what the system learned from.
        depth: Length of the lists.
    """
    queries, n_items = trial.queries, dataset.n_items
    assert queries.as_of_us is not None
    users, moments = dataset.user_ids.decode(queries.user_row), queries.as_of_us.tolist()
    # What is left to chance to learn from would only blur the comparison.
    ranking = system.model.config.ranking.changed(explore=0)
    only = None
    if trial.candidates is not None:
        only = Filters(allow=dataset.item_ids.ids.filter(pl.Series(trial.candidates)).to_list())
    asks = [
        Ask(user, live.get(user, ()), k=depth, now_us=moment, filters=only, ranking=ranking)
        for user, moment in zip(users, moments, strict=True)
    ]
    lists = np.full((len(asks), depth), -1, dtype=np.int32)
    with task(f"ask version {system.version or 'to be'}: {trial.name}", len(asks)) as progress:
        for start in range(0, len(asks), AT_ONCE):
            for at, answer in enumerate(system.answer(asks[start : start + AT_ONCE]), start):
                if isinstance(answer, CrossfadeError):
                    raise answer
                rows = dataset.item_ids.rows(line.item_id for line in answer.recommendations)
                # An item that is no longer in the catalogue takes its place and is wanted by nobody.
                lists[at, : len(rows)] = np.where(rows < 0, n_items, rows)
                progress.advance()
    relevant = Csr(trial.relevant)
    relevant.sort_indices()
    hits, _ = locate(lists, relevant)
    return ndcg(hits, np.diff(relevant.indptr).astype(np.int64))


@dataclass(frozen=True)
class Judged:
    """NDCG of two systems by person.

    Attributes:
        user_rows: People, ``(n,)``.
        n_requests: Of each, ``(n,)``.
        values: Of the promoted one and of the candidate, means over requests, ``(n, 2)``.
    """

    user_rows: Ints
    n_requests: Ints
    values: Doubles

    def compared(
        self, config: AdaptConfig, rng: np.random.Generator, among: Rows | None = None
    ) -> Comparison:
        """Means and the interval of the paired difference, of all or of some people."""
        stays = np.ones(len(self.user_rows), np.bool_)
        if among is not None:
            stays = np.isin(self.user_rows, among)
        if not stays.any():
            return Comparison()
        values = self.values[stays]
        gain = values[:, 1:] - values[:, :1]
        found = bootstrap(gain, rng, resamples=config.resamples, level=config.level)
        low, high = (None if np.isnan(end[0]) else float(end[0]) for end in (found.low, found.high))
        before, after = values.mean(axis=0).tolist()
        n_requests = int(self.n_requests[stays].sum())
        return Comparison(len(values), n_requests, before, after, float(found.mean[0]), low, high)


def judge(
    systems: tuple[LiveSystem, LiveSystem], trials: Sequence[Trial], dataset: Dataset, depth: int
) -> Judged:
    """Both systems on the same requests, with the same histories.

    Args:
        systems: The promoted one and the candidate.
        trials: The requests.
        dataset: The log that they are of.
        depth: Length of the lists.
    """
    if not trials:
        nobody = np.zeros(0, dtype=np.int64)
        return Judged(nobody, nobody, np.zeros((0, 2)))
    user_rows = np.concatenate([trial.queries.user_row for trial in trials])
    live = live_events(dataset, systems[0].model.dataset, user_rows)
    values = [
        [answered(system, trial, dataset, live, depth) for trial in trials] for system in systems
    ]
    per_request = np.stack([np.concatenate(of_system) for of_system in values], axis=1)
    people, unit, counts = np.unique(user_rows, return_inverse=True, return_counts=True)
    per_user = unit_means(per_request, unit.astype(np.int64), len(people))
    return Judged(people.astype(np.int64), counts.astype(np.int64), per_user)
