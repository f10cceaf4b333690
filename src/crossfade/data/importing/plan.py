"""`Plan`: what a source format hands to the import, whatever its files look like."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.convert import EVENTS, FRIENDS, TAGGINGS
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import (
    Column,
    Duplicates,
    FileMapping,
    ImportMapping,
    TableMapping,
)
from crossfade.data.importing.readers import read_file
from crossfade.data.sessions import SESSION_GAP_MINUTES
from crossfade.data.target import Target
from crossfade.errors import ConfigError

Read = Callable[[Callable[[str], Choose], Findings], Iterator[Batch]]
"""Batches of one table; the first argument gives, for a file name, what chooses its columns."""


@dataclass(frozen=True)
class PlannedJoin:
    """A further table whose columns become ``name.column``."""

    name: str
    on: str
    key: str
    read: Read


@dataclass(frozen=True)
class PlannedTable:
    """One table to be: its batches and which of their columns are ours."""

    read: Read
    columns: dict[str, Column] = field(default_factory=dict)
    joins: tuple[PlannedJoin, ...] = ()
    keep_others: bool = False
    require: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedVectors:
    """Vectors of items to be; see `mapping.VectorsMapping`."""

    read: Read
    item_id: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A whole import.

    Attributes:
        name: Short name of the data set.
        events: The log.
        target: What counts as positive.
        items: The catalogue, or None.
        items_in_events: Our item columns that the events' own columns tell; used when
            there is no catalogue file.
        item_joins: Tables joined to the catalogue that the events tell.
        users: Attributes of users, or None.
        taggings: Tags users put on items, or None.
        friends: Friend pairs, or None.
        vectors: Vectors of items, by modality.
        duplicates: What becomes of events that repeat an earlier one.
        session_gap_minutes: Idle minutes that end a session.
        notes: Decisions of the format that the report shall state.
    """

    name: str
    events: PlannedTable
    target: Target = field(default_factory=Target)
    items: PlannedTable | None = None
    items_in_events: dict[str, Column] = field(default_factory=dict)
    item_joins: tuple[PlannedJoin, ...] = ()
    users: PlannedTable | None = None
    taggings: PlannedTable | None = None
    friends: PlannedTable | None = None
    vectors: Mapping[str, PlannedVectors] = field(default_factory=dict)
    duplicates: Duplicates = "report"
    session_gap_minutes: float = SESSION_GAP_MINUTES
    notes: tuple[str, ...] = ()


def file_reader(path: Path, options: FileMapping) -> Read:
    """The batches of one file."""

    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        return read_file(path, options, choose_for(path.name), findings)

    return read


def planned_file(root: Path, mapping: TableMapping) -> PlannedTable:
    """The table that a mapping describes."""
    return PlannedTable(
        read=file_reader(mapping.path(root), mapping),
        columns=mapping.columns,
        joins=tuple(
            PlannedJoin(
                join.name,
                join.on,
                join.key if join.key is not None else join.on,
                file_reader(join.path(root), join),
            )
            for join in mapping.joins
        ),
        keep_others=mapping.keep_others,
        require=mapping.require,
    )


def plan_of_mapping(mapping: ImportMapping, root: Path) -> Plan:
    """The plan that a mapping spells out; relative paths start at ``root``.

    Raises:
        ConfigError: If it fills columns that nobody would read.
    """
    _refuse_unread(mapping)
    items = mapping.items
    from_file = items is not None and items.file != ""
    planned = planned_file(root, items) if items is not None else None
    in_events = {} if items is None or from_file else items.columns

    def table(part: TableMapping | None) -> PlannedTable | None:
        return None if part is None else planned_file(root, part)

    return Plan(
        name=mapping.name,
        events=planned_file(root, mapping.events),
        target=mapping.target,
        items=planned if from_file else None,
        items_in_events=in_events,
        item_joins=planned.joins if planned is not None and not from_file else (),
        users=table(mapping.users),
        taggings=table(mapping.taggings),
        friends=table(mapping.friends),
        vectors={
            name: PlannedVectors(file_reader(one.path(root), one), one.item_id, one.columns)
            for name, one in mapping.vectors.items()
        },
        duplicates=mapping.duplicates,
        session_gap_minutes=mapping.session_gap_minutes,
    )


def _refuse_unread(mapping: ImportMapping) -> None:
    """A misspelt column of ours would be left out in silence, and with it what it says."""
    wrong = []
    parts = (mapping.events, EVENTS), (mapping.taggings, TAGGINGS), (mapping.friends, FRIENDS)
    for part, kind in parts:
        known = ", ".join([*kind.kinds, *([f"{kind.prefix}…"] if kind.prefix else [])])
        wrong += [
            f"{kind.name}.{name} is no column of ours; choose from {known}"
            for name in (part.columns if part is not None else {})
            if not kind.welcomes(name)
        ]
    if wrong:
        raise ConfigError(f"{mapping.name}: " + "\n  ".join(wrong))
