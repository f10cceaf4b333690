"""A stretch of time as arrays: lists that were shown, and what people did.

People are numbers here and stay so: nothing that a monitor says names anybody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.schema import EVENT_COLUMNS
from crossfade.data.vocabulary import Vocabulary
from crossfade.store.log import Impression, NewEvent
from crossfade.types import Bools, Doubles, Ints, Rows, Times

SAID = ("event", "value", "played_ms", "skipped")
"""What an event says beside who, what and when."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists that were shown: n of them, N places in all, S bases.

    Attributes:
        person: Whose each is, -1 for nobody who is known by anything, ``(n,)``.
        user_row: In the log of the system, -1 for others, ``(n,)``.
        time_us: When each was shown, ``(n,)``.
        method: How each came about.
        adapted: Whether a head changed each, as a number; NaN where none counted, ``(n,)``.
        chance: That ``adapted`` came out so, likewise.
        owner: List of each place, ascending, ``(N,)``.
        place: Of each in its list, from 1, ``(N,)``.
        item_row: What stood there, -1 for items the system does not know, ``(N,)``.
        probability: Of the named event, NaN where there is none, ``(N,)``.
        weights: Of the bases, ``(N, S)``; all NaN where none were weighed.
        told: Lists whose features were kept, ``(n,)``.
        request: Their features by name, ``(n_told,)`` each.
        item: Those of the items on them by name, ``(N_told,)`` each.
        shadow_owner: List of each place of the lists that were not shown instead, M in all, ``(M,)``.
        shadow_place: Of each in its list, from 1, ``(M,)``.
        shadow_row: What would have stood there, ``(M,)``.
    """

    person: Ints
    user_row: Rows
    time_us: Times
    method: tuple[str, ...]
    adapted: Doubles
    chance: Doubles
    owner: Ints
    place: Ints
    item_row: Rows
    probability: Doubles
    weights: Doubles
    told: Bools
    request: dict[str, Doubles]
    item: dict[str, Doubles]
    shadow_owner: Ints
    shadow_place: Ints
    shadow_row: Rows

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, eq=False)
class Acts:
    """What people did, n events.

    Attributes:
        person: Who, numbered as in `Lists`, ``(n,)``.
        user_row: In the log of the system, -1 for others, ``(n,)``.
        item_row: With what, -1 for items the system does not know, ``(n,)``.
        time_us: When, ``(n,)``.
        said: One row per event, with the columns `SAID`.
        wanted: Whether the target of the system counts it, ``(n,)``.
    """

    person: Ints
    user_row: Rows
    item_row: Rows
    time_us: Times
    said: pl.DataFrame
    wanted: Bools

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, eq=False)
class Window:
    """What was shown and what was done from a moment on."""

    lists: Lists
    acts: Acts
    since_us: int


class People:
    """Numbers for users, and for sessions without one."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, user_id: str | None, session_id: str | None) -> int:
        """Of whoever it is; -1 for nobody."""
        if user_id is None and session_id is None:
            return -1
        who = ("session", session_id or "") if user_id is None else ("user", user_id)
        return self._numbers.setdefault(who, len(self._numbers))


def lists_of(
    shown: Sequence[Impression], dataset: Dataset, labels: Sequence[str], people: People
) -> Lists:
    """Impressions as arrays.

    Args:
        shown: By one version.
        dataset: That of its system.
        labels: Of its bases; weights of others are not looked at.
        people: Gives numbers to who is met first.
    """
    items = [item for one in shown for item in one.items]
    sizes = [len(one.items) for one in shown]
    nothing = np.nan
    shadows = [one.shadow for one in shown]
    unshown = [() if one is None else one.items for one in shadows]
    weights = [
        [item.weights.get(label, 0.0 if item.weights else nothing) for label in labels]
        for item in items
    ]
    request, item = _features(shown)
    return Lists(
        person=_numbers([people.number(one.user_id, one.session_id) for one in shown]),
        user_row=_rows(dataset.user_ids, [one.user_id for one in shown]),
        time_us=_numbers([one.time_us for one in shown]),
        method=tuple(one.method for one in shown),
        adapted=np.array([nothing if one is None else one.adapted for one in shadows], np.float64),
        chance=np.array([nothing if one is None else one.chance for one in shadows], np.float64),
        owner=np.repeat(np.arange(len(shown)), sizes),
        place=_numbers([item.place for item in items]),
        item_row=_rows(dataset.item_ids, [one.item_id for one in items]),
        probability=np.array(
            [nothing if one.probability is None else one.probability for one in items]
        ),
        weights=np.array(weights, dtype=np.float64).reshape(len(items), len(labels)),
        told=np.array([one.features is not None for one in shown], dtype=np.bool_),
        request=request,
        item=item,
        shadow_owner=np.repeat(np.arange(len(shown)), [len(one) for one in unshown]),
        shadow_place=_numbers([at for one in unshown for at in range(1, len(one) + 1)]),
        shadow_row=_rows(dataset.item_ids, [item_id for one in unshown for item_id in one]),
    )


def acts_of(events: Iterable[NewEvent], dataset: Dataset, people: People) -> Acts:
    """Events as arrays; ``people`` gives numbers to who is met first."""
    events = list(events)
    said = pl.DataFrame(
        {name: [getattr(one, name) for one in events] for name in SAID},
        schema={name: EVENT_COLUMNS[name] for name in SAID},
    )
    return Acts(
        person=_numbers([people.number(one.user_id, one.session_id) for one in events]),
        user_row=_rows(dataset.user_ids, [one.user_id for one in events]),
        item_row=_rows(dataset.item_ids, [one.item_id for one in events]),
        time_us=_numbers([one.time_us for one in events]),
        said=said,
        wanted=_wanted(said, dataset),
    )


def logged_acts(dataset: Dataset, since_us: int, until_us: int) -> Acts:
    """The events of a system's own log in a stretch of time; people are numbered by user row."""
    assert dataset.time_us is not None
    start, stop = np.searchsorted(dataset.time_us, [since_us, until_us]).tolist()
    frame = dataset.events.slice(start, stop - start)
    there = [pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in SAID]
    said = frame.select(
        one.cast(EVENT_COLUMNS[name]) for one, name in zip(there, SAID, strict=True)
    )
    user_row = frame["user_row"].to_numpy()
    return Acts(
        person=user_row.astype(np.int64),
        user_row=user_row,
        item_row=frame["item_row"].to_numpy(),
        time_us=dataset.time_us[start:stop],
        said=said,
        wanted=_wanted(said, dataset),
    )


def _wanted(said: pl.DataFrame, dataset: Dataset) -> Bools:
    strength = said.select(dataset.target.expression(list(SAID))).to_series()
    return np.asarray(strength.to_numpy() > 0, dtype=np.bool_)


def _features(
    shown: Sequence[Impression],
) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
    """Features that were kept, by name; those of one version have one set of names."""
    told = [one.features for one in shown if one.features is not None]
    if not told:
        return {}, {}
    values = [one.values() for one in told]
    request = np.stack([one for one, _ in values]).astype(np.float64)
    item = np.concatenate([one for _, one in values]).astype(np.float64)
    return (
        dict(zip(told[0].request_names, request.T, strict=True)),
        dict(zip(told[0].item_names, item.T, strict=True)),
    )


def _numbers(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _rows(ids: Vocabulary, names: Sequence[str | None]) -> Rows:
    """Rows of ids; -1 for what is unknown or not given."""
    rows = ids.rows("" if name is None else name for name in names)
    given = np.array([name is not None for name in names], dtype=np.bool_)
    found: Rows = np.where(given, rows, -1).astype(np.int32)
    return found
