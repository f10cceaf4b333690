"""Experiments: their settings, when they began, grew and ended, and what was shown and done in them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select, union

from crossfade.errors import ConflictError, DataError, UnknownIdError
from crossfade.store.log.database import Database
from crossfade.store.log.rows import MOST, as_float, check_text, check_whole, shown
from crossfade.store.log.tables import events, experiment_traffic, experiments, impressions

Unit = Literal["user", "session"]


@dataclass(frozen=True)
class Step:
    """That an experiment had so much traffic from some moment on.

    Attributes:
        time_us: From when on.
        traffic: Share of the units; 0 is that it was stopped.
    """

    time_us: int
    traffic: float


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment of the log.

    Attributes:
        name: Given once.
        settings: As they were handed in; they never change.
        steps: How it began, grew and ended.
    """

    name: str
    settings: Mapping[str, Any]
    steps: Sequence[Step]

    @property
    def started_us(self) -> int:
        """When it began."""
        return self.steps[0].time_us

    @property
    def traffic(self) -> float:
        """Its traffic now; 0 once it is stopped."""
        return self.steps[-1].traffic

    @property
    def stopped_us(self) -> int | None:
        """When it was stopped; None while it runs."""
        return None if self.traffic else self.steps[-1].time_us


ShownList = tuple[str, int, str, str | None, list[str], str, list[str | None]]
"""Request, time in microseconds, unit, arm, items, version and arm of each item of a list."""

Reaction = tuple[int, str | None, str, str | None, str, float | None, int | None, bool | None]
"""Time in microseconds, unit, item, request, kind, value, milliseconds played and skipped of an event."""


class Experiments:
    """The experiments of a log. It holds nothing of a person: who is in which arm is computed, and lists say it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, settings: Mapping[str, Any], traffic: float, now_us: int) -> None:
        """Begin an experiment.

        Args:
            name: Given once and for all.
            settings: Anything JSON can hold.
            traffic: Share of the units that take part, above 0.
            now_us: From when on.

        Raises:
            ConflictError: If there is or was one of that name.
        """
        check_text("name", name)
        check_whole("now_us", now_us, -MOST)
        row = {"name": name, "settings": json.dumps(settings, allow_nan=False)}
        step = Step(now_us, _traffic(traffic))

        def change(connection: Connection) -> None:
            if connection.scalar(select(experiments.c.name).where(experiments.c.name == name)):
                raise ConflictError(
                    f'there is or was an experiment "{name}", and its name decides who is where; '
                    "take another one"
                )
            last = connection.scalar(select(func.max(experiments.c.created_us)))
            # Also by a clock that went back it comes after those there are, which have first choice.
            created_us = now_us if last is None else max(now_us, last + 1)
            connection.execute(insert(experiments), {**row, "created_us": created_us})
            _take(connection, name, 0, step)

        self._database.write(change)

    def grow(self, name: str, traffic: float, now_us: int) -> None:
        """Let more units take part; those that do stay where they are.

        Raises:
            UnknownIdError: If there is no such experiment.
            ConflictError: If it was stopped, or has that much traffic already.
        """
        self._step(name, _traffic(traffic), now_us)

    def stop(self, name: str, now_us: int) -> None:
        """Let nobody take part any more, for good.

        Raises:
            UnknownIdError: If there is no such experiment.
            ConflictError: If it was stopped already.
        """
        self._step(name, 0.0, now_us)

    def every(self) -> list[StoredExperiment]:
        """All that ever were, oldest first."""
        with self._database.read() as connection:
            return _found(connection)

    def get(self, name: str) -> StoredExperiment:
        """One of them.

        Raises:
            UnknownIdError: If there is none of that name.
        """
        check_text("name", name)
        with self._database.read() as connection:
            return _get(connection, name)

    def lists(self, name: str, unit: Unit, to_us: int) -> list[ShownList]:
        """What its arms showed before some moment, oldest first."""
        where = (impressions.c.experiment == name, _unit(unit).is_not(None))
        return self._lists(unit, *where, impressions.c.time_us < to_us)

    def lists_before(self, name: str, unit: Unit, from_us: int, to_us: int) -> list[ShownList]:
        """What its units were shown from one moment until before another, whoever made it; without arms."""
        time = impressions.c.time_us
        where = (_unit(unit).in_(_units(name, unit)), time >= from_us, time < to_us)
        return [(*row[:3], None, *row[4:]) for row in self._lists(unit, *where)]

    def reactions(self, name: str, unit: Unit, from_us: int, to_us: int) -> list[Reaction]:
        """Events from one moment until before another: of its units, or naming one of its lists."""
        e = events.c
        who = e[f"{unit}_id"]
        what = (e.item_id, e.request_id, e.event, e.value, e.played_ms, e.skipped)
        requests = select(impressions.c.request_id).where(impressions.c.experiment == name)
        whose = (who.in_(_units(name, unit)), e.request_id.in_(requests))
        time = (e.time_us >= from_us, e.time_us < to_us)
        # Two queries, each by an index; the sequence keeps equal events apart.
        query = union(
            *(select(e.sequence, e.time_us, who, *what).where(some, *time) for some in whose)
        )
        with self._database.read() as connection:
            return [row[1:] for row in connection.execute(query.order_by("sequence"))]

    def _lists(self, unit: Unit, *where: ColumnElement[bool]) -> list[ShownList]:
        i = impressions.c
        what = (i.request_id, i.time_us, _unit(unit), i.arm, i["items"], i.version)
        query = select(*what).where(*where)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(i.time_us, i.request_id))
            shown = ((row, json.loads(row[4])) for row in rows)
            return [
                (
                    *row[:4],
                    [one["item_id"] for one in items],
                    row[5],
                    [one.get("arm") for one in items],
                )
                for row, items in shown
            ]

    def _step(self, name: str, traffic: float, now_us: int) -> None:
        check_text("name", name)
        check_whole("now_us", now_us, -MOST)

        def change(connection: Connection) -> None:
            there = _get(connection, name)
            if not there.traffic:
                raise ConflictError(
                    f'experiment "{name}" was stopped for good; begin another one under another name'
                )
            if 0 < traffic <= there.traffic:
                raise ConflictError(
                    f'experiment "{name}" has {there.traffic:g} of the traffic and may only grow, '
                    f"got {traffic:g}; give more, or stop it"
                )
            # A clock that went back must not make it end before it began.
            time_us = max(now_us, there.steps[-1].time_us)
            _take(connection, name, len(there.steps), Step(time_us, traffic))

        self._database.write(change)


def _traffic(traffic: float) -> float:
    if not 0 < as_float("traffic", traffic) <= 1:
        raise DataError(f"traffic must be above 0 and at most 1, got {shown(traffic)}")
    return traffic


def _take(connection: Connection, name: str, number: int, step: Step) -> None:
    connection.execute(insert(experiment_traffic), {"name": name, "number": number, **vars(step)})


def _get(connection: Connection, name: str) -> StoredExperiment:
    found = _found(connection, experiments.c.name == name)
    if not found:
        raise UnknownIdError(f'there is no experiment "{name}"; look at the list of them')
    return found[0]


def _found(connection: Connection, *where: ColumnElement[bool]) -> list[StoredExperiment]:
    t, x = experiment_traffic.c, experiments.c
    query = select(x.name, x.settings, t.time_us, t.traffic).join_from(
        experiments, experiment_traffic, t.name == x.name
    )
    order = (x.created_us, x.name, t.number)
    by_name: dict[str, list[Any]] = {}
    for row in connection.execute(query.where(*where).order_by(*order)):
        by_name.setdefault(row.name, []).append(row)
    return [
        StoredExperiment(
            name, json.loads(rows[0].settings), [Step(row.time_us, row.traffic) for row in rows]
        )
        for name, rows in by_name.items()
    ]


def _unit(unit: Unit) -> ColumnElement[Any]:
    return impressions.c[f"{unit}_id"]


def _units(name: str, unit: Unit) -> Select[Any]:
    return select(_unit(unit)).where(impressions.c.experiment == name, _unit(unit).is_not(None))
