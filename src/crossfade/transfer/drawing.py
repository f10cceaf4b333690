"""Small domains: the first few events of some people, and what they wanted afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Trial
from crossfade.errors import DataError
from crossfade.fusion.base import Columns, LabelledSignals
from crossfade.fusion.few_shot.network import POSITIVES
from crossfade.meta.blending import Bases, BlendConfig, fit_bases
from crossfade.meta.contextual import contextual_signals
from crossfade.meta.signals import stacked
from crossfade.meta.track import TrackRecord
from crossfade.types import Bools, Csr, Ints, Rows

FEWEST_LATER = 3
"""Events somebody must have after those that are shown, so that there is something to want."""


@dataclass(frozen=True, eq=False)
class SmallDomain:
    """A domain that has just begun.

    Attributes:
        log: All there is to learn from: the first ``shots`` events of some people.
        test: What they, and others who show as many events to nobody's profit, wanted afterwards.
    """

    log: Dataset
    test: Trial


def event_places(dataset: Dataset, rng: np.random.Generator) -> Ints:
    """Place of each event in its user's own order, from 0; without times the order is drawn."""
    n = dataset.n_events
    users = dataset.events["user_row"].to_numpy()
    order = np.arange(n) if dataset.has_times else rng.permutation(n)
    by_user = np.lexsort((order, users))
    place = np.empty(n, dtype=np.int64)
    first = np.searchsorted(users[by_user], users[by_user], side="left")
    place[by_user] = np.arange(n) - first
    return place


def draw(
    dataset: Dataset, n_users: int, shots: int, n_requests: int, rng: np.random.Generator
) -> SmallDomain:
    """A small domain out of a large one.

    Args:
        dataset: The whole domain.
        n_users: People of the small one; at most half of those with events enough.
        shots: Events each of them has, 1 or more.
        n_requests: People who ask. Where the small domain has fewer, others join who show as many
            events with their request, and of whom the log knows nothing.
        rng: Draws people, and the order of events that have no time.

    Raises:
        DataError: If hardly anybody has events enough.
    """
    users = dataset.events["user_row"].to_numpy()
    place = event_places(dataset, rng)
    count = np.bincount(users, minlength=dataset.n_users)
    able = rng.permutation(np.flatnonzero(count >= shots + FEWEST_LATER))
    n_users = min(n_users, len(able) // 2)
    if not n_users:
        raise DataError(
            f"{dataset.name}: no two people have {shots + FEWEST_LATER} events or more, so no small domain of "
            f"{shots} events each can be drawn; take fewer shots or more data"
        )
    inside = np.zeros(dataset.n_users, dtype=np.bool_)
    inside[able[:n_users]] = True
    asking = np.sort(able[: max(n_requests, n_users)]).astype(np.int32)
    shown = place < shots
    log = dataset.where(pl.Series(inside[users] & shown))
    test = asked(log, dataset, asking, shown)
    person = test.queries.user_row
    known = np.where(inside[person], person, -1).astype(np.int32)
    return SmallDomain(log, replace(test, queries=replace(test.queries, user_row=known)))


def asked(log: Dataset, dataset: Dataset, people: Rows, shown: Bools) -> Trial:
    """Some people ask those who know a log, and want the rest of what they did.

    Args:
        log: What may be learned from.
        dataset: The whole domain.
        people: Rows of those who ask, ascending; the trial's requests name them.
        shown: Which events of the domain are history, ``(n_events,)``; the others are wanted.
    """
    queries = dataset.where(pl.Series(shown)).queries(people)
    wanted = Csr(dataset.where(pl.Series(~shown)).interactions()[people])
    return _trial("test", log, queries, wanted)


def own_lists(log: Dataset, rng: np.random.Generator) -> list[Trial]:
    """What a small log can ask itself: everybody's last event, told from what came before.

    Who has but one event cannot be told from anything: then half of the people are asked for by the
    events of the other half, and the other way round.

    Returns:
        One or two trials; none where nobody could be asked.
    """
    users = log.events["user_row"].to_numpy()
    count = np.bincount(users, minlength=log.n_users)
    last = event_places(log, rng) == count[users] - 1
    held = [last & (count[users] > 1)]
    if count.max(initial=0) <= 1:
        half = np.zeros(log.n_users, dtype=np.bool_)
        people = rng.permutation(np.unique(users))
        half[people[: len(people) // 2]] = True
        held = [half[users], ~half[users]]
    return [trial for part in held if (trial := _held_out(log, part)) is not None]


def _held_out(log: Dataset, held: Bools) -> Trial | None:
    """Some events as what was wanted after the others; None where nothing can be asked."""
    wanted = log.where(pl.Series(held)).interactions()
    asking: Rows = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32)
    train = log.where(pl.Series(~held))
    if not len(asking) or not train.n_events:
        return None
    trial = _trial("support", train, train.queries(asking), Csr(wanted[asking]))
    return trial if len(trial.queries) else None


def _trial(name: str, train: Dataset, queries: Queries, wanted: Csr) -> Trial:
    """Only what the asking person has not met counts; whoever then wants nothing is not asked."""
    relevant = Csr((wanted > 0).astype(np.float32))
    relevant = Csr(relevant - relevant.multiply(queries.seen > 0))
    relevant.eliminate_zeros()
    asking = np.flatnonzero(np.diff(relevant.indptr))
    return Trial(name, train, queries.take(asking), Csr(relevant[asking]), exclude_seen=True)


def lists_of(
    trials: Sequence[Trial], bases: Bases, n_candidates: int, seed: int
) -> LabelledSignals | None:
    """Candidate lists of some trials, each by bases fitted on what it may learn from.

    Of the context only the length of histories is kept: it is what every domain knows.

    Returns:
        All lists one below the other; None without a trial.
    """
    config = BlendConfig(n_candidates=n_candidates)
    found = []
    for trial in trials:
        fitted = fit_bases(bases, trial.train, seed)
        nobody = TrackRecord.empty(trial.train.n_users, len(bases))
        found.append(_slim(contextual_signals(trial, fitted, nobody, config=config, seed=seed)))
    return stacked(found) if found else None


def _slim(lists: LabelledSignals) -> LabelledSignals:
    signals = lists.signals
    assert signals.user is not None
    length = signals.user[:, [signals.columns.user.index(POSITIVES)]]
    columns = Columns(signals.columns.bases, (POSITIVES,))
    slim = replace(signals, user=length, item=None, reciprocal_rank=None, columns=columns)
    return replace(lists, signals=slim)


def without_content(dataset: Dataset) -> Dataset:
    """A domain that knows nothing of its items but who met them."""
    return replace(dataset, items=dataset.items.select("item_id"))


def mixed_content(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """A domain in which what is said of items is said of the wrong ones."""
    items = dataset.items
    about = items.drop("item_id")[rng.permutation(items.height).tolist()]
    return replace(dataset, items=items.select("item_id").hstack(about.get_columns()))
