"""`Dataset`: events, items and users of one domain, checked once and immutable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from crossfade.data.conform import (
    all_timed,
    by_id,
    conform,
    conform_catalogue,
    conform_pairs,
    encode,
    with_skips,
)
from crossfade.data.frames import Frame
from crossfade.data.query import Queries
from crossfade.data.schema import (
    EVENT_COLUMNS,
    FRIEND_COLUMNS,
    ITEM_COLUMNS,
    TAGGING_COLUMNS,
    TIMESTAMP,
)
from crossfade.data.sessions import SESSION_GAP_MINUTES, session_rows
from crossfade.data.target import Target
from crossfade.data.vectors import PREFIX, conform_vectors, vectors_among
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError
from crossfade.notebook import html_table
from crossfade.types import Bools, Csr, Floats, Ints, Rows, Times

TABLES = ("events", "items", "users", "taggings", "friends")
"""Tables beside those of vectors, whose names start with `crossfade.data.vectors.PREFIX`."""

MAX_TIME_US = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Dataset:
    """One domain's log and catalogue.

    Attributes:
        name: Short name for reports.
        events: Sorted by time (file order among equal times): ``user_row``, ``item_row``,
            ``session_row``, ``strength`` and the optional columns of the event contract.
        items: One row per item row: ``item_id`` and the catalogue columns there are.
        users: One row per user row: ``user_id`` and free attributes.
        user_ids: User ids and rows.
        item_ids: Item ids and rows.
        target: What counts as positive.
        taggings: Tags users put on items (``user_row``, ``item_row``, ``tag``, maybe
            ``timestamp``), or None.
        friends: Directed friend pairs (``user_row``, ``friend_row``), or None.
        vectors: By modality, such as ``image``: ``item_row`` (ascending, each once) and ``vector``, an
            array of 32-bit numbers. Items that are not in it have no vector.
    """

    name: str
    events: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    user_ids: Vocabulary
    item_ids: Vocabulary
    target: Target = field(default_factory=Target)
    taggings: pl.DataFrame | None = None
    friends: pl.DataFrame | None = None
    vectors: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def __repr__(self) -> str:
        times = self.events["timestamp"] if self.has_times else pl.Series([], dtype=TIMESTAMP)
        span = (
            "without times" if times.is_empty() else f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
        )
        return (
            f"Dataset({self.name!r}, {self.n_events:,} events, {self.n_users:,} users, {self.n_items:,} items, "
            f"{span}, target {self.target.name!r})"
        )

    def _repr_html_(self) -> str:
        rows = [(n, table.height, ", ".join(table.columns)) for n, table in self.tables().items()]
        return html_table(("table", "rows", "columns"), rows, repr(self))

    @classmethod
    def build(
        cls,
        events: Frame,
        items: Frame | None = None,
        users: Frame | None = None,
        *,
        name: str = "dataset",
        target: Target | None = None,
        taggings: Frame | None = None,
        friends: Frame | None = None,
        vectors: Mapping[str, Frame] | None = None,
        session_gap_minutes: float = SESSION_GAP_MINUTES,
    ) -> "Dataset":
        """A data set from frames with external ids, of Polars, pandas or any other Arrow library.

        Args:
            events: ``user_id``, ``item_id`` and the optional event columns.
            items: Catalogue keyed by ``item_id``; may hold items without events.
            users: Attributes keyed by ``user_id``; may hold users without events.
            name: Short name for reports.
            target: What counts as positive; by default every event that is no skip or dislike.
            taggings: ``user_id``, ``item_id``, ``tag``, optionally ``timestamp``.
            friends: ``user_id``, ``friend_id``; pairs with unknown users are left out.
            vectors: By modality, ``item_id`` and one column of lists or numbered columns of numbers;
                rows of unknown items are left out.
            session_gap_minutes: Idle minutes that end a session.

        Raises:
            DataError: If a required column is missing, an id is empty, an id occurs twice
                in a catalogue, some but not all events have a time, there is no event, or
                vectors are not all of one width and finite.
        """
        events = conform(events, EVENT_COLUMNS, "events", ("user_id", "item_id"), others="context_")
        items = conform_catalogue(items, ITEM_COLUMNS, "item")
        users = conform_catalogue(users, {"user_id": pl.String()}, "user")
        if events.is_empty():
            raise DataError(f"{name}: no events; give at least one user-item pair")
        user_ids = Vocabulary.of("user", events["user_id"], users["user_id"])
        item_ids = Vocabulary.of("item", events["item_id"], items["item_id"])
        return cls.from_rows(
            encode(all_timed(events, name), user_id=user_ids, item_id=item_ids),
            by_id(item_ids, items),
            by_id(user_ids, users),
            name=name,
            target=target or Target(),
            taggings=conform_pairs(taggings, TAGGING_COLUMNS, "taggings", user_ids, item_ids),
            friends=conform_pairs(friends, FRIEND_COLUMNS, "friends", user_ids, user_ids),
            vectors=conform_vectors(vectors or {}, item_ids),
            session_gap_minutes=session_gap_minutes,
        )

    @classmethod
    def from_rows(
        cls,
        events: pl.DataFrame,
        items: pl.DataFrame,
        users: pl.DataFrame,
        *,
        name: str,
        target: Target,
        taggings: pl.DataFrame | None = None,
        friends: pl.DataFrame | None = None,
        vectors: Mapping[str, pl.DataFrame] | None = None,
        session_gap_minutes: float = SESSION_GAP_MINUTES,
    ) -> "Dataset":
        """A data set from events that already hold ``user_row`` and ``item_row``.

        Sorts by time and derives ``session_row`` (kept where it is already there), ``skipped``
        (where skips are events of a kind of their own) and ``strength``. ``items`` and
        ``users`` are sorted by id; their order defines the rows.
        """
        # A look costs a hundredth of a sort; what was saved is sorted already.
        if "timestamp" in events.columns and not events["timestamp"].is_sorted():
            events = events.sort("timestamp", maintain_order=True)
        if "session_row" not in events.columns:
            events = events.with_columns(session_rows(events, session_gap_minutes))
        events = with_skips(events)
        events = events.with_columns(target.expression(events.columns))
        return cls(
            name=name,
            events=events,
            items=items,
            users=users,
            user_ids=Vocabulary("user", users["user_id"]),
            item_ids=Vocabulary("item", items["item_id"]),
            target=target,
            taggings=taggings,
            friends=friends,
            vectors=vectors or {},
        )

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, pl.DataFrame], name: str, target: Target
    ) -> "Dataset":
        """The inverse of `tables`.

        Raises:
            KeyError: If events, items or users are missing.
        """
        return cls.from_rows(
            tables["events"],
            tables["items"],
            tables["users"],
            name=name,
            target=target,
            taggings=tables.get("taggings"),
            friends=tables.get("friends"),
            vectors=vectors_among(tables),
        )

    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables there are, by name."""
        tables = {name: getattr(self, name) for name in TABLES}
        tables |= {f"{PREFIX}{name}": table for name, table in sorted(self.vectors.items())}
        return {name: table for name, table in tables.items() if table is not None}

    def with_ids(self) -> pl.DataFrame:
        """The events as `build` takes them: ids in place of rows, and nothing derived."""
        return self.events.select(
            self.user_ids.ids.gather(self.events["user_row"]),
            self.item_ids.ids.gather(self.events["item_row"]),
            pl.exclude("user_row", "item_row", "session_row", "strength"),
        )

    @property
    def n_events(self) -> int:
        """Number of events."""
        return self.events.height

    @property
    def n_users(self) -> int:
        """Number of user rows, with or without events."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of item rows, with or without events."""
        return len(self.item_ids)

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of the data, JSON-ready: name, target and sizes."""
        return {
            "name": self.name,
            "target": self.target.model_dump(),
            "n_events": self.n_events,
            "n_users": self.n_users,
            "n_items": self.n_items,
        }

    @property
    def has_times(self) -> bool:
        """Whether events have times; without them only per-user protocols are possible."""
        return "timestamp" in self.events.columns

    @cached_property
    def time_us(self) -> Times | None:
        """Event times in microseconds, in event order; None without times."""
        return self.events["timestamp"].to_physical().to_numpy() if self.has_times else None

    def before(self, as_of: datetime) -> "Dataset":
        """Everything that happened strictly before ``as_of``; rows keep their meaning."""
        return self.between(datetime.min.replace(tzinfo=UTC), as_of)

    def between(self, start: datetime, stop: datetime) -> "Dataset":
        """Events at or after ``start`` and strictly before ``stop``; rows keep their meaning.

        Moments without a zone are UTC, as everywhere in the house. Taggings with times
        are cut at ``stop``; the catalogue stays whole.

        Raises:
            DataError: If the data has no times.
        """
        if not self.has_times:
            raise DataError(f"{self.name}: events have no times; use a per-user protocol")
        start, stop = _aware(start), _aware(stop)
        inside = pl.col("timestamp").is_between(start, stop, closed="left")
        taggings = self.taggings
        if taggings is not None and "timestamp" in taggings.columns:
            taggings = taggings.filter(pl.col("timestamp") < stop)
        return replace(self, events=self.events.filter(inside), taggings=taggings)

    def where(self, keep: pl.Series) -> "Dataset":
        """The events marked True in ``keep`` (one entry per event); rows keep their meaning."""
        return replace(self, events=self.events.filter(keep))

    def known_items(self, before_us: int | None) -> Bools:
        """Items somebody could know of, shape ``(n_items,)``.

        An item is known by an event here, or by a release date before ``before_us``
        (microseconds; None looks at events alone). Being in the catalogue does not count:
        a catalogue made from a log holds an item because it is played later.
        """
        known = np.zeros(self.n_items, dtype=np.bool_)
        known[self.events["item_row"].to_numpy()] = True
        if before_us is not None and "release_date" in self.items.columns:
            released = self.items["release_date"].cast(TIMESTAMP).to_physical() < before_us
            known |= released.fill_null(value=False).to_numpy()
        return known

    def without_users(self, user_rows: Rows) -> "Dataset":
        """Nothing that some users did: no event, no tagging, no friendship; rows keep their meaning."""
        gone = user_rows.tolist()
        stays = ~pl.col("user_row").is_in(gone)
        taggings = None if self.taggings is None else self.taggings.filter(stays)
        friends = self.friends
        if friends is not None:
            friends = friends.filter(stays & ~pl.col("friend_row").is_in(gone))
        return replace(self, events=self.events.filter(stays), taggings=taggings, friends=friends)

    def without_items(self, item_rows: Rows) -> "Dataset":
        """Nothing that was done with some items: no event, no tagging; the catalogue stays whole."""
        stays = ~pl.col("item_row").is_in(item_rows.tolist())
        taggings = None if self.taggings is None else self.taggings.filter(stays)
        return replace(self, events=self.events.filter(stays), taggings=taggings)

    def with_target(self, target: Target) -> "Dataset":
        """The same log under another idea of what counts as positive.

        Raises:
            DataError: If a rule looks at a column the events lack, since it would let
                everything through.
        """
        unmet = target.unmet(self.events.columns)
        if unmet:
            raise DataError(
                f"{self.name}: target {', '.join(unmet)}, which the events lack; leave the rule out"
            )
        events = self.events.with_columns(target.expression(self.events.columns))
        return replace(self, events=events, target=target)

    def interactions(self) -> Csr:
        """Summed positive strength of each pair, CSR ``(n_users, n_items)``; no stored zeros."""
        positive = self.events.filter(pl.col("strength") > 0)
        pairs = positive.group_by("user_row", "item_row").agg(pl.col("strength").sum())
        pairs = pairs.sort("user_row", "item_row")
        columns = (pairs["user_row"].to_numpy(), pairs["item_row"].to_numpy())
        return Csr((pairs["strength"].to_numpy(), columns), shape=(self.n_users, self.n_items))

    @cached_property
    def _by_user(self) -> tuple[Ints, Ints]:
        """Event places ordered by user then time, and where each user's run starts."""
        users = self.events["user_row"].to_numpy()
        order = np.argsort(users, kind="stable")
        starts = np.searchsorted(users[order], np.arange(self.n_users + 1))
        return order.astype(np.int64), starts.astype(np.int64)

    def queries(self, user_rows: Sequence[int] | Rows, as_of_us: Times | None = None) -> Queries:
        """Requests by known users, each with the history strictly before its time.

        Args:
            user_rows: Who asks; one user may ask several times.
            as_of_us: When each asks, in microseconds; None takes the whole history here.

        Raises:
            DataError: If times are given and the data has none.
            ValueError: If a row is no row of this data; strangers ask through `Queries.of_items`.
        """
        users = np.array(user_rows, dtype=np.int32)
        wrong = users[(users < 0) | (users >= self.n_users)]
        if len(wrong):
            raise ValueError(f"user rows must lie in 0 … {self.n_users - 1}, got {wrong[0]}")
        order, starts = self._by_user
        begin, stop = starts[users], starts[users + 1]
        if as_of_us is not None:
            if self.time_us is None:
                raise DataError(
                    f"{self.name}: events have no times, so as_of means nothing; leave it out"
                )
            found = [
                np.searchsorted(self.time_us[order[b:e]], t, side="left")
                for b, e, t in zip(begin, stop, as_of_us, strict=True)
            ]
            stop = begin + np.asarray(found, dtype=np.int64)
        sizes = stop - begin
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = order[np.repeat(begin - indptr[:-1], sizes) + np.arange(indptr[-1])]
        item_row, strength, session_row = self._columns
        return Queries(
            user_row=users,
            as_of_us=as_of_us,
            indptr=indptr,
            item_row=item_row[flat],
            time_us=None if self.time_us is None else self.time_us[flat],
            strength=strength[flat],
            session_row=session_row[flat],
            n_items=self.n_items,
        )

    @cached_property
    def _columns(self) -> tuple[Rows, Floats, Rows]:
        """Item row, strength and session row (-1 where unknown) of each event."""
        events = self.events
        session_row = events["session_row"].fill_null(-1).to_numpy()
        return events["item_row"].to_numpy(), events["strength"].to_numpy(), session_row


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a datetime; one without a zone is UTC."""
    return int(pl.Series([_aware(moment)], dtype=TIMESTAMP).to_physical()[0])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def to_datetime(time_us: int) -> datetime:
    """The UTC datetime of microseconds since 1970."""
    moment: datetime = pl.Series([time_us], dtype=pl.Int64).cast(TIMESTAMP)[0]
    return moment
