"""What a blend knows besides scores: who asks, when, and what kind of item each candidate is."""

from collections.abc import Sequence

import numpy as np

from crossfade.arrays import part_of, unpack_strings
from crossfade.data import Dataset, Queries
from crossfade.features.activity import activity_features
from crossfade.features.audio import RANGES
from crossfade.features.dictionary import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.environment import EnvironmentFeatures, EnvironmentSchema
from crossfade.features.items import LabelNames, LabelRows
from crossfade.features.labels import Labels
from crossfade.features.pairs import PAIR_FEATURES, pair_features
from crossfade.features.reference import SessionFeatureConfig, SessionReference
from crossfade.features.social import SOCIAL, FriendFeatures
from crossfade.features.users import request_time_features
from crossfade.fusion.propagation import Guesses
from crossfade.meta.facts import measure
from crossfade.meta.track import TrackRecord
from crossfade.types import Arrays, Floats, Rows

HISTORY = ("log_positives", "log_items", "positive_share")
"""Size of a request's own history: positive events, different items, share that is positive."""


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
        kept: `facts` of a reader made from the same, such as a bundle keeps; None measures them.

    Attributes:
        facts: What `measure` finds in the log.

    Raises:
        KeyError: If something is missing in ``kept``.
        TypeError: If there is too much in it.
        ValueError: If the record is of another number of bases, or what is kept of another number
            of items.
    """

    def __init__(
        self,
        dataset: Dataset,
        bases: Sequence[str],
        track: TrackRecord,
        environment: EnvironmentSchema | None = None,
        kept: Arrays | None = None,
    ) -> None:
        n_tracked = track.gain.shape[1]
        if n_tracked != len(bases):
            raise ValueError(f"the track record is of {n_tracked} bases, not of {len(bases)}")
        self.environment = environment or EnvironmentSchema.fit(dataset)
        self.facts = facts = measure(dataset, self.environment) if kept is None else kept
        self._items = LabelRows(**part_of(facts, "items"))  # type: ignore[arg-type]
        if len(self._items) != dataset.n_items:
            raise ValueError(
                f"the context is of {len(self._items):,} items, not of {dataset.n_items:,}"
            )
        genres, moods = (Labels.from_arrays(name, facts) for name in ("genres", "moods"))
        self._names = LabelNames(genres, moods)
        self._reference = SessionReference.from_arrays(
            part_of(facts, "reference"), SessionFeatureConfig()
        )
        self._situations = EnvironmentFeatures.from_arrays(
            part_of(facts, "situations"), self.environment, dataset.name
        )
        friends = part_of(facts, "friends")
        self._friends = FriendFeatures.from_arrays(friends) if friends else None
        self._fixed = facts["fixed"].astype(np.float32, copy=False)
        sigma = facts.get("sigma")
        self._sigma = None if sigma is None else sigma.astype(np.float32, copy=False)
        self._track = track
        self.user_columns = (
            *SESSION_FEATURE_NAMES,
            *TEMPORAL_FEATURE_NAMES,
            *HISTORY,
            *(f"track_{label}" for label in bases),
            "log_track_items",
            *self.environment.names,
        )
        social = () if self._friends is None else SOCIAL
        self.item_columns = (*unpack_strings("columns", facts), *PAIR_FEATURES, *social)

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
        out[..., -len(PAIR_FEATURES) :] = pair_features(queries, item_row, self._items, self._names)
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


def _history(queries: Queries) -> Floats:
    n = np.diff(queries.indptr)
    positive = np.bincount(queries.owner[queries.strength > 0], minlength=len(queries))
    different = np.diff(queries.seen_parts[0])
    share = np.divide(positive, n, out=np.full(len(queries), np.nan), where=n > 0)
    return np.column_stack([np.log1p(positive), np.log1p(different), share]).astype(np.float32)
