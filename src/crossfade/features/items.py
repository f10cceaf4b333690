"""What a catalogue says about items, as arrays for a network: content only, never fame.

One schema serves training and requests. Snapshot columns (popularity, site ratings, sales
ranks) are not read at all: they were counted after the fact, and a new item has none.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import polars as pl

from crossfade.config import Field, Settings
from crossfade.errors import DataError
from crossfade.features.audio import RANGES, AudioFeatures
from crossfade.features.audio_scale import confidence, nan_mean, nan_std, spread, unit
from crossfade.features.dictionary import Feature
from crossfade.features.labels import Labels, label_pairs, normal, take_lists
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints, Rows

NUMERIC_FEATURES = ("release_year", "log_duration")

_CATALOGUE = "the catalogue, at any time"
ITEM_FEATURES: tuple[Feature, ...] = (
    *(
        Feature(
            name,
            "the feature" if (low, high) == (0.0, 1.0) else f"(value − {low:g}) / {high - low:g}",
            "share" if (low, high) == (0.0, 1.0) else "share of the range in beats per minute",
            _CATALOGUE, 0, 1, "no value, measured or predicted",
        )
        for name, (low, high) in RANGES.items()
    ),
    *(
        Feature(
            f"{name}_confidence",
            "1 for a measured value; for a guess 1 − σ² / spread², at least 0, where spread² is the "
            "variance of the feature over the known items",
            "share of variance explained", _CATALOGUE, 0, 1, "never: 0 where there is no value",
        )
        for name in RANGES
    ),
    Feature(
        "release_year", "(year − mean) / deviation over the known items, cut at ± `clip`",
        "deviations", _CATALOGUE, -inf, inf, "no release date, or none at fit",
    ),
    Feature(
        "log_duration", "(log of seconds − mean) / deviation over the known items, cut at ± `clip`",
        "deviations", _CATALOGUE, -inf, inf, "no duration above 0, or none at fit",
    ),
)  # fmt: skip
"""Units, bounds and missing rule of the columns of `ItemArrays`: audio, confidence, numeric."""


class ItemSchemaConfig(Settings):
    """Which labels get a row of their own, and how numbers are scaled."""

    min_creator_items: int = Field(
        2,
        ge=1,
        description="Creators of fewer known items count as unseen. From 2 on, training shows what unseen means.",
    )
    min_label_items: int = Field(
        2, ge=1, description="Genres and moods of fewer known items count as unseen."
    )
    max_genres: int | None = Field(
        None, ge=1, description="Genres kept per item, the most common first; unset: all."
    )
    max_moods: int | None = Field(
        None, ge=1, description="Moods kept per item, the most common first; unset: all."
    )
    clip: float = Field(
        5.0, gt=0, description="Release year and duration are cut at so many deviations."
    )


@dataclass(frozen=True, eq=False)
class LabelRows:
    """Creators, genres and moods of ``n`` items, as rows.

    Attributes:
        creator_row: Shape ``(n,)``; 0 where unseen or absent.
        genre_indptr: Shape ``(n + 1,)``; genres of item ``i`` are
            ``genre_row[genre_indptr[i]:genre_indptr[i + 1]]``.
        genre_row: Genre rows; 0 is an unseen genre. No genre is an empty list.
        mood_indptr: As ``genre_indptr``.
        mood_row: As ``genre_row``.
    """

    creator_row: Rows
    genre_indptr: Ints
    genre_row: Rows
    mood_indptr: Ints
    mood_row: Rows

    def __len__(self) -> int:
        return len(self.creator_row)


@dataclass(frozen=True, eq=False)
class ItemArrays(LabelRows):
    """Content of ``n`` items; see `ITEM_FEATURES` for units, bounds and missing values.

    Attributes:
        audio: Shape ``(n, 8)``, in [0, 1], NaN where missing.
        audio_confidence: Shape ``(n, 8)``, in [0, 1], 0 where missing.
        numeric: Shape ``(n, 2)``: `NUMERIC_FEATURES`, NaN where missing.
    """

    audio: Floats
    audio_confidence: Floats
    numeric: Floats

    def take(self, item_rows: Ints | Rows) -> "ItemArrays":
        """Some of the items, in the given order."""
        genres = take_lists(self.genre_indptr, self.genre_row, item_rows)
        moods = take_lists(self.mood_indptr, self.mood_row, item_rows)
        return ItemArrays(
            self.creator_row[item_rows],
            *genres,
            *moods,
            self.audio[item_rows],
            self.audio_confidence[item_rows],
            self.numeric[item_rows],
        )


@dataclass(frozen=True)
class LabelNames:
    """What the rows of `LabelRows` stand for.

    Attributes:
        genres: Genres seen.
        moods: Moods seen.
    """

    genres: Labels
    moods: Labels


@dataclass(frozen=True)
class ItemSchema(LabelNames):
    """How items become arrays, fitted on the items known before the cut.

    Attributes:
        config: Limits and minimum counts.
        creators: Creators seen; an id is surer than a name and is used where there is one.
        audio_spread: Deviation of each audio feature over the known items after scaling to
            [0, 1], shape ``(8,)``; NaN where they have none.
        numeric_mean: Mean of `NUMERIC_FEATURES` over the known items, ``(2,)``; NaN where none.
        numeric_spread: Their deviation, ``(2,)``; 1 for a constant.
    """

    config: ItemSchemaConfig
    creators: Labels
    audio_spread: Doubles
    numeric_mean: Doubles
    numeric_spread: Doubles

    @classmethod
    def fit(
        cls,
        items: pl.DataFrame,
        known: Bools,
        config: ItemSchemaConfig | None = None,
        audio: AudioFeatures | None = None,
    ) -> "ItemSchema":
        """Learn rows and scales.

        Args:
            items: The catalogue.
            known: Which items were known before the cut, shape ``(n_items,)``; no other is
                looked at.
            config: Limits and minimum counts.
            audio: Audio features of the catalogue; by default those it holds itself.

        Raises:
            DataError: If an audio value is out of range, or the shapes do not agree.
        """
        config = config if config is not None else ItemSchemaConfig()
        _check_length("known", len(known), items)
        numeric = _numeric(items)[known]
        deviation = nan_std(numeric)
        return cls(
            config=config,
            creators=Labels.fit(creator_pairs(items), known, config.min_creator_items),
            genres=Labels.fit(label_pairs(items, "genres"), known, config.min_label_items),
            moods=Labels.fit(label_pairs(items, "moods"), known, config.min_label_items),
            audio_spread=spread(_audio(items, audio), known),
            numeric_mean=nan_mean(numeric),
            # A constant has a deviation of about 1e-16, which is rounding and not spread.
            numeric_spread=np.where(deviation > 1e-9, deviation, 1.0),
        )

    def transform(self, items: pl.DataFrame, audio: AudioFeatures | None = None) -> ItemArrays:
        """Arrays of any items, known or new.

        Args:
            items: Catalogue columns; the ones that are absent count as missing.
            audio: Their audio features; by default those the columns hold.

        Raises:
            DataError: If an audio value is out of range, or the shapes do not agree.
        """
        n, config = items.height, self.config
        creators = creator_pairs(items)
        creator_row = np.zeros(n, dtype=np.int32)
        creator_row[creators["row"].to_numpy()] = self.creators.rows(creators["label"])
        numeric = (_numeric(items) - self.numeric_mean) / self.numeric_spread
        features = _audio(items, audio)
        return ItemArrays(
            creator_row,
            *self.genres.lists(label_pairs(items, "genres"), n, config.max_genres),
            *self.moods.lists(label_pairs(items, "moods"), n, config.max_moods),
            unit(features.mean).astype(np.float32),
            confidence(features, self.audio_spread),
            np.clip(numeric, -config.clip, config.clip).astype(np.float32),
        )

    def to_arrays(self) -> Arrays:
        """Everything but the settings, as plain arrays."""
        return {
            **self.creators.to_arrays("creators"),
            **self.genres.to_arrays("genres"),
            **self.moods.to_arrays("moods"),
            "audio_spread": self.audio_spread,
            "numeric_mean": self.numeric_mean,
            "numeric_spread": self.numeric_spread,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: ItemSchemaConfig) -> "ItemSchema":
        """The inverse of `to_arrays`."""
        return cls(
            config=config,
            creators=Labels.from_arrays("creators", arrays),
            genres=Labels.from_arrays("genres", arrays),
            moods=Labels.from_arrays("moods", arrays),
            audio_spread=arrays["audio_spread"].astype(np.float64),
            numeric_mean=arrays["numeric_mean"].astype(np.float64),
            numeric_spread=arrays["numeric_spread"].astype(np.float64),
        )


def creator_pairs(items: pl.DataFrame) -> pl.DataFrame:
    """``row`` and ``label`` of each item's creator; ids and names cannot be mistaken for one another."""
    texts = []
    if "creator_id" in items.columns:  # as it stands: the case of an id may matter
        identity = pl.col("creator_id").str.strip_chars()
        texts.append(pl.when(identity != "").then("id:" + identity))
    if "creator" in items.columns:
        name = normal(pl.col("creator"))
        texts.append(pl.when(name != "").then("name:" + name))
    label = pl.coalesce(texts) if texts else pl.lit(None, dtype=pl.String)
    rows = items.select(row=pl.int_range(pl.len(), dtype=pl.UInt32), label=label)
    return rows.drop_nulls()


def _audio(items: pl.DataFrame, audio: AudioFeatures | None) -> AudioFeatures:
    audio = audio if audio is not None else AudioFeatures.from_items(items)
    _check_length("audio features", len(audio.mean), items)
    return audio


def _check_length(what: str, length: int, items: pl.DataFrame) -> None:
    if length != items.height:
        raise DataError(
            f"item arrays: {what} for {length:,} items and a catalogue of {items.height:,}; "
            "give both in the same order"
        )


def _numeric(items: pl.DataFrame) -> Doubles:
    """Release year and log of the duration in seconds, shape ``(n, 2)``; NaN where missing."""
    out = np.full((items.height, len(NUMERIC_FEATURES)), np.nan)
    if "release_date" in items.columns:
        year = items["release_date"].dt.year().cast(pl.Float64)
        out[:, 0] = year.fill_null(np.nan).to_numpy()
    if "duration_ms" in items.columns:
        seconds = items["duration_ms"].cast(pl.Float64).fill_null(np.nan).to_numpy() / 1_000
        out[:, 1] = np.log(np.where(seconds > 0, seconds, np.nan))
    return out
