"""What a blend knows besides scores: who asks, when, and what kind of item each candidate is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.features.activity import activity_features
from crossfade.features.audio import RANGES, AudioFeatures
from crossfade.features.audio_scale import unit_width
from crossfade.features.dictionary import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.dynamics import DYNAMICS, item_dynamics
from crossfade.features.environment import EnvironmentSchema
from crossfade.features.items import ItemArrays, ItemSchema
from crossfade.features.labels import label_pairs
from crossfade.features.pairs import PAIR_FEATURES, pair_features
from crossfade.features.session import fit_reference
from crossfade.features.social import SOCIAL, FriendFeatures
from crossfade.features.users import request_time_features
from crossfade.fusion.propagation import Guesses
from crossfade.meta.track import TrackRecord
from crossfade.types import Bools, Floats, Rows

COMPLETENESS = (
    "title",
    "creator",
    "collection",
    "genres",
    "moods",
    "duration_ms",
    "release_date",
)
"""Columns of the catalogue whose presence makes an item well described; blank texts, empty lists and
durations of 0 say nothing."""

HISTORY = ("log_positives", "log_items", "positive_share")
"""Size of a request's own history: positive events, different items, share that is positive."""

ITEM_CONTENT = ("completeness", "release_year", "log_duration")


class ContextReader:
    """Features of requests and candidates, as of the end of the log it was made from.

    Made anew for each training log, like the bases: nothing in it is later than that log. A
    release date past its end is no release date: a catalogue holds it because it was written
    later, and it would tell which items come out, or come out again.

    Where events say in what situation they happened, the last situation of whoever asks is
    read; where there is a friend table, what friends wanted. Elsewhere there are no such columns.

    Args:
        dataset: What the bases learned from.
        bases: Labels of the bases, in the order of the record.
        track: How they did before; see `TrackRecord`.
        environment: Which situations are columns, so that all that is learned together and
            served from agrees; None fits it on this log.

    Raises:
        ValueError: If the record is of another number of bases.
    """

    def __init__(
        self,
        dataset: Dataset,
        bases: Sequence[str],
        track: TrackRecord,
        environment: EnvironmentSchema | None = None,
    ) -> None:
        n_tracked = track.gain.shape[1]
        if n_tracked != len(bases):
            raise ValueError(f"the track record is of {n_tracked} bases, not of {len(bases)}")
        end_us = None if dataset.time_us is None else int(dataset.time_us[-1]) + 1
        dataset = _released(dataset, end_us)
        self._schema = ItemSchema.fit(dataset.items, dataset.known_items(end_us))
        self._items = self._schema.transform(dataset.items)
        self._sigma = _audio_sigma(dataset.items)
        self._reference = fit_reference(dataset)
        self._track = track
        self.environment = environment or EnvironmentSchema.fit(dataset)
        self._situations = self.environment.of(dataset)
        self._friends = None if dataset.friends is None else FriendFeatures.of(dataset)
        fixed, fixed_names = _item_columns(dataset, self._items, end_us)
        # One row more, which -1 finds, and room for the pairs: all NaN.
        room = ((0, 1), (0, len(PAIR_FEATURES)))
        self._fixed = np.pad(fixed, room, constant_values=np.nan)
        self.user_columns = (
            *SESSION_FEATURE_NAMES,
            *TEMPORAL_FEATURE_NAMES,
            *HISTORY,
            *(f"track_{label}" for label in bases),
            "log_track_items",
            *self.environment.names,
        )
        social = () if self._friends is None else SOCIAL
        self.item_columns = (*fixed_names, *PAIR_FEATURES, *social)

    def user(self, queries: Queries) -> Floats:
        """Shape ``(B, Cu)``, NaN where missing."""
        time, known = request_time_features(queries)
        columns = (
            activity_features(queries, self._reference),
            np.where(known, time, np.nan),
            _history(queries),
            self._track.features(queries.user_row),
            self._situations.features(queries),
        )
        return np.hstack(columns).astype(np.float32)

    def item(self, queries: Queries, item_row: Rows) -> Floats:
        """Shape ``(B, L, Ci)``, NaN where missing and at padding (-1)."""
        out = self._fixed[item_row]
        out[..., -len(PAIR_FEATURES) :] = pair_features(
            queries, item_row, self._items, self._schema
        )
        if self._friends is None:
            return out
        return np.concatenate([out, self._friends.features(queries.user_row, item_row)], axis=-1)

    def guesses(self, item_row: Rows) -> Guesses | None:
        """How surely the audio columns of candidates ``(B, L)`` are known; padding (-1) is not told.

        None where the catalogue holds no guess.
        """
        if self._sigma is None:
            return None
        n = len(RANGES)
        low, high = np.zeros(n, np.float32), np.ones(n, np.float32)
        return Guesses(tuple(RANGES), self._sigma[item_row], low, high)


def _audio_sigma(items: pl.DataFrame) -> Floats | None:
    """Sigma of audio features in the unit of their columns, ``(n_items + 1, 8)``, the last row NaN.

    None where no value is a guess.
    """
    if not any(f"{name}_sigma" in items.columns for name in RANGES):
        return None
    audio = AudioFeatures.from_items(items)
    if not (audio.known & (audio.sigma != 0)).any():
        return None
    sigma = unit_width(audio.sigma).astype(np.float32)
    return np.pad(sigma, ((0, 1), (0, 0)), constant_values=np.nan)


def _released(dataset: Dataset, end_us: int | None) -> Dataset:
    """The data set without release dates at or after the end of its log."""
    if end_us is None or "release_date" not in dataset.items.columns:
        return dataset
    past = pl.col("release_date").cast(pl.Datetime("us")).to_physical() < end_us
    items = dataset.items.with_columns(pl.when(past).then("release_date").alias("release_date"))
    return replace(dataset, items=items)


def _history(queries: Queries) -> Floats:
    n = np.diff(queries.indptr)
    positive = np.bincount(queries.owner[queries.strength > 0], minlength=len(queries))
    different = np.diff(queries.seen.indptr)
    share = np.divide(positive, n, out=np.full(len(queries), np.nan), where=n > 0)
    return np.column_stack([np.log1p(positive), np.log1p(different), share]).astype(np.float32)


def _item_columns(
    dataset: Dataset, arrays: ItemArrays, end_us: int | None
) -> tuple[Floats, tuple[str, ...]]:
    """Features of items that do not depend on who asks, ``(n_items, C)``; audio where there is any."""
    there = [_given(dataset.items, name) for name in COMPLETENESS if name in dataset.items.columns]
    complete = np.sum(there, axis=0) / len(COMPLETENESS) if there else np.zeros(dataset.n_items)
    columns = [item_dynamics(dataset, end_us), complete[:, None], arrays.numeric]
    names = [*DYNAMICS, *ITEM_CONTENT]
    if np.isfinite(arrays.audio).any():
        columns += [arrays.audio, arrays.audio_confidence]
        names += [*RANGES, *(f"{name}_confidence" for name in RANGES)]
    return np.hstack(columns).astype(np.float32), tuple(names)


def _given(items: pl.DataFrame, name: str) -> Bools:
    """Which items have something in a column, shape ``(n_items,)``."""
    kind = items.schema[name]
    if isinstance(kind, pl.List):
        given = np.zeros(items.height, dtype=np.bool_)
        given[label_pairs(items, name)["row"].to_numpy()] = True
        return given
    there = pl.col(name).is_not_null()
    if kind == pl.String:
        there = pl.col(name).str.strip_chars() != ""
    elif kind.is_numeric():
        there = pl.col(name) > 0
    return items.select(there.fill_null(value=False)).to_series().to_numpy().astype(np.bool_)
