"""What a system holds of people and items, for somebody who wants to look: found by words, one by one, in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.importing.summary import DatasetSummary, summary_of
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.audio import RANGES, AudioFeatures, Source
from crossfade.features.audio_scale import confidence, spread
from crossfade.meta.recommendation import Names
from crossfade.types import Floats, Ints

N_LABELS = 60
"""Genres and moods that are named, the most frequent."""


@dataclass(frozen=True)
class ItemName:
    """What an item is called.

    Attributes:
        item_id: Its id.
        title: From the catalogue, or None.
        creator: From the catalogue, or None.
    """

    item_id: str
    title: str | None
    creator: str | None


@dataclass(frozen=True)
class Happened:
    """One event of a history.

    Attributes:
        item: With what.
        time_us: When, in microseconds since 1970; None where the log has no times.
        strength: How much it counts; 0 for seen but not wanted.
    """

    item: ItemName
    time_us: int | None
    strength: float


@dataclass(frozen=True)
class AudioFact:
    """One audio feature of an item.

    Attributes:
        name: Of the feature.
        value: In its own unit; None where it is missing.
        sigma: Spread of a guess, 0 for actual values; None where nothing is said of it.
        source: ``actual``, ``predicted``, ``prior`` or ``missing``.
        confidence: Share of the feature's variance that the value explains, in [0, 1].
        low: Least possible value.
        high: Largest possible value.
    """

    name: str
    value: float | None
    sigma: float | None
    source: str
    confidence: float
    low: float
    high: float


@dataclass(frozen=True)
class ItemFacts:
    """One item.

    Attributes:
        name: What it is called.
        known: What else the catalogue says, by column; what is missing or an audio feature is left out.
        n_events: Events on it in the log of the system.
        n_users: Users with one.
        audio: The eight features, in their order; none where the catalogue has no such column.
    """

    name: ItemName
    known: dict[str, Any]
    n_events: int
    n_users: int
    audio: tuple[AudioFact, ...]


@dataclass(frozen=True)
class ColumnFacts:
    """How much of one column is there.

    Attributes:
        table: ``events``, ``items`` or ``users``.
        column: Its name.
        missing: Share of its rows without a value, in [0, 1]; an empty list is no value.
    """

    table: str
    column: str
    missing: float


@dataclass(frozen=True)
class Quality:
    """What there is to know of the data of a system.

    Attributes:
        summary: Counts and shares.
        columns: How much of each column is there.
        kinds: Events by kind, the most frequent first; empty where the log does not tell.
        audio: Values of each audio feature by source; empty where the catalogue has none.
    """

    summary: DatasetSummary
    columns: tuple[ColumnFacts, ...]
    kinds: dict[str, int]
    audio: dict[str, dict[str, int]]


class Library:
    """Looks things up in the data set of a system; what takes long is kept."""

    def __init__(self, dataset: Dataset, names: Names) -> None:
        self._dataset, self._names = dataset, names

    def users(self, text: str, n: int) -> list[str]:
        """Ids of users that hold a text, in any case: an equal one first, then those that begin with it."""
        return [str(self._dataset.user_ids.id(row)) for row in _best(self._user_words, text, n)]

    def items(self, text: str, n: int) -> list[ItemName]:
        """Items whose title, creator or id holds a text: those that begin with it first, then the most played."""
        rows = _best(self._item_words, text, n)
        return self.named(np.array(rows, dtype=np.int32))

    def named(self, rows: Any) -> list[ItemName]:
        """What items are called, by row."""
        return [ItemName(*name) for name in self._names.of(np.asarray(rows, dtype=np.int32))]

    def item(self, item_id: str) -> ItemFacts:
        """One item.

        Raises:
            UnknownIdError: If there is no such item.
        """
        data = self._dataset
        row = data.item_ids.row(item_id)
        users = data.events.filter(pl.col("item_row") == row)["user_row"]
        return ItemFacts(
            name=self.named([row])[0],
            known=_known(data.items.row(row, named=True)),
            n_events=len(users),
            n_users=users.n_unique(),
            audio=self._audio_of(row),
        )

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The most frequent ``genres`` and ``moods``, sorted; a kind without labels is left out."""
        found: dict[str, tuple[str, ...]] = {}
        for column in ("genres", "moods"):
            if column in self._dataset.items.columns:
                counts = self._dataset.items[column].explode().drop_nulls().value_counts()
                most = counts.sort("count", column, descending=[True, False])[column]
                if len(most):
                    found[column] = tuple(sorted(most[:N_LABELS].to_list()))
        return found

    @cached_property
    def quality(self) -> Quality:
        """What there is to know of the data."""
        data = self._dataset
        kinds: dict[str, int] = {}
        if "event" in data.events.columns:
            counts = data.events["event"].drop_nulls().value_counts()
            counts = counts.sort("count", "event", descending=[True, False])
            kinds = dict(counts.iter_rows())
        return Quality(
            summary=summary_of(data),
            columns=tuple(
                ColumnFacts(name, column.name, _missing(column))
                for name in ("events", "items", "users")
                for column in data.tables()[name]
                if not column.name.endswith("_row")
                and not column.name.endswith(("_source", "_sigma"))
            ),
            kinds=kinds,
            audio=self._audio_sources(),
        )

    def _audio_of(self, row: int) -> tuple[AudioFact, ...]:
        if self._audio is None:
            return ()
        features, sure = self._audio
        facts = []
        for column, (name, (low, high)) in enumerate(RANGES.items()):
            value, sigma = features.mean[row, column], features.sigma[row, column]
            facts.append(
                AudioFact(
                    name,
                    None if np.isnan(value) else float(value),
                    None if np.isnan(sigma) else float(sigma),
                    Source(features.source[row, column]).name.lower(),
                    float(sure[row, column]),
                    low,
                    high,
                )
            )
        return tuple(facts)

    def _audio_sources(self) -> dict[str, dict[str, int]]:
        if self._audio is None:
            return {}
        source = self._audio[0].source
        return {
            name: {kind.name.lower(): int((source[:, column] == kind).sum()) for kind in Source}
            for column, name in enumerate(RANGES)
        }

    @cached_property
    def _audio(self) -> tuple[AudioFeatures, Floats] | None:
        """All audio features with what they tell; None where the catalogue has no such column."""
        items = self._dataset.items
        if not set(AUDIO_FEATURES) & set(items.columns):
            return None
        features = AudioFeatures.from_items(items)
        everything = np.ones(items.height, dtype=np.bool_)
        return features, confidence(features, spread(features, everything))

    @cached_property
    def _user_words(self) -> pl.DataFrame:
        events = _counts(self._dataset.events["user_row"], self._dataset.n_users)
        return _words([self._dataset.user_ids.ids], events)

    @cached_property
    def _item_words(self) -> pl.DataFrame:
        items = self._dataset.items
        texts = [items[name] for name in ("title", "creator", "item_id") if name in items.columns]
        return _words(texts, _counts(self._dataset.events["item_row"], items.height))


def _words(texts: Sequence[pl.Series], n_events: Ints) -> pl.DataFrame:
    """What is searched: each text in small letters, and how often something happened."""
    columns = [
        text.fill_null("").str.to_lowercase().rename(f"text_{at}") for at, text in enumerate(texts)
    ]
    return pl.DataFrame([*columns, pl.Series("n_events", n_events)]).with_row_index("row")


def _best(words: pl.DataFrame, text: str, n: int) -> list[int]:
    """Rows that hold a text: equal ones first, then those that begin with it, then the busiest, ties by row."""
    wanted = text.strip().lower()
    columns = [pl.col(name) for name in words.columns if name.startswith("text_")]
    found = words.filter(
        pl.any_horizontal(column.str.contains(wanted, literal=True) for column in columns)
    )
    found = found.with_columns(
        equal=pl.any_horizontal(column == wanted for column in columns),
        begins=pl.any_horizontal(column.str.starts_with(wanted) for column in columns),
    )
    order = found.sort("equal", "begins", "n_events", "row", descending=[True, True, True, False])
    return order["row"][:n].to_list()


def _counts(rows: pl.Series, n: int) -> Ints:
    return np.bincount(rows.to_numpy(), minlength=n)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """What a catalogue says of an item beyond its names and audio features."""
    apart = {"item_id", "title", "creator", *AUDIO_FEATURES}
    apart |= {f"{name}_{what}" for name in AUDIO_FEATURES for what in ("source", "sigma")}
    return {
        name: value for name, value in row.items() if name not in apart and value not in (None, [])
    }


def _missing(column: pl.Series) -> float:
    if column.dtype == pl.List:
        return int((column.list.len().fill_null(0) == 0).sum()) / max(len(column), 1)
    return column.null_count() / max(len(column), 1)
