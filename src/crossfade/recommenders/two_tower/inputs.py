"""What the towers read, as plain arrays: one function each for items and for requests.

Training and serving go through the same functions, so an example and a request with the
same history are the same numbers.
"""

from dataclasses import dataclass

import numpy as np

from crossfade.data import Queries
from crossfade.features.items import ItemArrays, ItemSchema
from crossfade.features.trends import LabelTrends
from crossfade.features.users import history_weights, label_preferences, request_time_features
from crossfade.recommenders.two_tower.config import UserTowerConfig
from crossfade.types import Bools, Csr, Floats, Ints, Rows

N_NUMERIC = 4
"""Columns of `ItemInputs.numeric`."""

MIDDLE = 0.5
"""Audio features lie in [0, 1]; a feature of no confidence counts as this."""


@dataclass(frozen=True, eq=False)
class ItemInputs:
    """The whole catalogue for the item tower.

    Attributes:
        text: Unit vectors, ``(n, text_dim)``; zeros where there is no text.
        creator: ``(n,)``; 0 where unseen or absent.
        genres: Genre rows, ``(n, most)``, padded with ``n_genres``.
        moods: Mood rows, ``(n, most)``, padded with ``n_moods``.
        audio: Distance from the middle, ``(n, 8)``; 0 where missing.
        confidence: ``(n, 8)`` in [0, 1]; 0 where missing.
        numeric: Release year and duration, 0 where missing, then which are known, ``(n, 4)``.
        has_content: Whether anything at all is known of the item, ``(n,)``.
        n_creators: Height of the creator table.
        n_genres: Number of genre rows, the unseen one included.
        n_moods: Number of mood rows, the unseen one included.
    """

    text: Floats
    creator: Rows
    genres: Rows
    moods: Rows
    audio: Floats
    confidence: Floats
    numeric: Floats
    has_content: Bools
    n_creators: int
    n_genres: int
    n_moods: int

    @classmethod
    def make(cls, arrays: ItemArrays, schema: ItemSchema, text: Floats) -> "ItemInputs":
        """From a schema's arrays and text vectors with NaN rows for items without text."""
        has_text: Bools = ~np.isnan(text[:, 0])
        numbers = np.isfinite(arrays.numeric)
        n_labels = np.diff(arrays.genre_indptr) + np.diff(arrays.mood_indptr)
        heard = np.isfinite(arrays.audio).any(axis=1)
        return cls(
            text=np.where(has_text[:, None], text, 0).astype(np.float32),
            creator=arrays.creator_row,
            genres=_padded(arrays.genre_indptr, arrays.genre_row, len(schema.genres)),
            moods=_padded(arrays.mood_indptr, arrays.mood_row, len(schema.moods)),
            audio=from_middle(arrays.audio),
            confidence=arrays.audio_confidence,
            numeric=np.hstack([np.nan_to_num(arrays.numeric), numbers]).astype(np.float32),
            has_content=has_text | heard | (arrays.creator_row > 0) | (n_labels > 0),
            n_creators=len(schema.creators),
            n_genres=len(schema.genres),
            n_moods=len(schema.moods),
        )

    def __len__(self) -> int:
        return len(self.creator)


@dataclass(frozen=True, eq=False)
class UserInputs:
    """Some requests for the user tower; a block the tower does not read is None.

    Attributes:
        user: User rows, ``(n,)``; -1 for strangers.
        history: Weight of each item in the pool, ``(n, n_items)``.
        genres: Liked genres, rows sum to 1 or are empty, ``(n, n_genres)``.
        moods: Liked moods, ``(n, n_moods)``.
        time: Temporal context and its mask, ``(n, 14)``.
        trends: How far each genre and mood is above its long-run share, ``(n, n_genres + n_moods)``.
        activity: Session features and their mask, ``(n, 36)``.
    """

    user: Rows
    history: Csr
    genres: Csr
    moods: Csr
    time: Floats | None
    trends: Floats | None
    activity: Floats | None

    @classmethod
    def make(
        cls,
        queries: Queries,
        arrays: ItemArrays,
        schema: ItemSchema,
        config: UserTowerConfig,
        *,
        trends: LabelTrends | None = None,
        activity: Floats | None = None,
    ) -> "UserInputs":
        """What the tower reads of some requests, as of their moments.

        Args:
            queries: The requests.
            arrays: The whole catalogue.
            schema: What made ``arrays``.
            config: Which blocks are read.
            trends: Needed where the tower reads them and the data has times.
            activity: Session features and mask, ``(n, 36)``, where the tower reads them.
        """
        n = len(queries)
        weights = history_weights(queries, config.half_life_days, config.max_events)
        used = weights > 0
        pool = Csr(
            (weights[used], (queries.owner[used], queries.item_row[used])),
            shape=(n, queries.n_items),
        )
        pool.sum_duplicates()
        # A thousand plays of one song are a strong taste, not a thousand tastes.
        pool.data = np.log2(1 + pool.data).astype(np.float32)
        genres, moods = label_preferences(
            queries,
            arrays,
            schema,
            config.half_life_days,
            max_events=config.max_events,
            top=config.top_labels,
        )
        time = None
        if config.time:
            values, known = request_time_features(queries)
            time = np.hstack([values, known]).astype(np.float32)
        return cls(
            user=queries.user_row,
            history=pool,
            genres=genres,
            moods=moods,
            time=time,
            trends=_trends(queries, schema, trends) if config.trends else None,
            activity=activity,
        )


def from_middle(audio: Floats) -> Floats:
    """Audio features as distances from the middle; 0 where missing."""
    return np.asarray(np.nan_to_num(audio - np.float32(MIDDLE), nan=0.0))


def _trends(queries: Queries, schema: ItemSchema, trends: LabelTrends | None) -> Floats:
    """Log-ratios of the labels; 0, which is no trend, where there is no moment."""
    if trends is None or queries.as_of_us is None:
        return np.zeros((len(queries), len(schema.genres) + len(schema.moods)), dtype=np.float32)
    return np.nan_to_num(np.hstack(trends.at(queries.as_of_us))).astype(np.float32)


def _padded(indptr: Ints, rows: Rows, padding: int) -> Rows:
    """Lists as one array, short ones filled with ``padding``; at least one column."""
    sizes = np.diff(indptr)
    width = max(1, int(sizes.max(initial=0)))
    out = np.full((len(sizes), width), padding, dtype=np.int32)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    out[owner, np.arange(len(rows)) - indptr[:-1][owner]] = rows
    return out
