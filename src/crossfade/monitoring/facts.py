"""What a version knows of its items and users, as far as a monitor looks at it."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crossfade.data import Dataset
from crossfade.data.splits import possible_protocol
from crossfade.features.audio import AudioFeatures, Source
from crossfade.features.audio_scale import confidence, spread
from crossfade.fusion.verdict import SLICE_EDGES
from crossfade.hybrid import HybridModel
from crossfade.meta.facts import completeness
from crossfade.recommenders.base import item_support
from crossfade.types import MICROSECONDS_PER_DAY, Doubles, Ints, Rows, Times

LISTENERS = ("new", "light", "heavy")
"""People by wanted events in the version's log: 0 to 5, which strangers have, 6 to 50, more."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """Pairs of a user and an item that the user wanted, N of them.

    Attributes:
        pair: One number for each, ascending, ``(N,)``.
        item_row: Of each, ``(N,)``.
        time_us: When it was wanted first; the same for all in a log without times, ``(N,)``.
        n_items: In the log.
    """

    pair: Ints
    item_row: Rows
    time_us: Times
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Those of a log."""
        wanted = dataset.events["strength"].to_numpy() > 0
        user, item = (dataset.events[name].to_numpy()[wanted] for name in ("user_row", "item_row"))
        # In the order of time, so that the first of each pair is the first that there was.
        pair, first = np.unique(user.astype(np.int64) * dataset.n_items + item, return_index=True)
        time = np.full(len(pair), np.iinfo(np.int64).min)
        if dataset.time_us is not None:
            time = dataset.time_us[wanted][first]
        return cls(pair, item[first], time, dataset.n_items)

    def popularity(self, user_row: Rows, item_row: Rows, since_us: int) -> Doubles:
        """How popular items were with others before a moment, in [0, 1], for n pairs of a user and an item.

        The share of all that was wanted before that was of items with fewer users. Somebody's own
        wish does not count: after the log there are none of it, so within the log there may be none either.

        Returns:
            ``(n,)``; NaN for items the log does not know, and where nothing was wanted before.
        """
        before = self.time_us < since_us
        n_users = np.bincount(self.item_row[before], minlength=self.n_items)
        pair = np.where(user_row < 0, -1, user_row.astype(np.int64) * self.n_items + item_row)
        others = n_users[item_row] - np.isin(pair, self.pair[before])
        order = np.sort(n_users)
        below = np.concatenate([[0], np.cumsum(order)])[np.searchsorted(order, others)]
        known = (item_row >= 0) & (n_users.sum() > 0)
        return np.where(known, below / max(1, n_users.sum()), np.nan)


@dataclass(frozen=True, eq=False)
class Facts:
    """Of one version.

    Attributes:
        model: The version.
        labels: Of its bases.
        listener: Place in `LISTENERS` of each user row, and at the end that of strangers.
        completeness: Of each item, in [0, 1], and NaN at the end, which -1 finds.
        audio_confidence: Mean over the eight audio features, likewise; None without any.
        audio_guessed: Whether any of them is guessed, likewise.
        log_users: Of each item, log1p of the users who wanted it; NaN at the end.
        first_wanted: Who wanted what in the log, each pair once, and when first; see `Wanted`.
        calibrated_days: Length of the block that probabilities are for; None where none are given or
            the log has no times.
    """

    model: HybridModel
    labels: tuple[str, ...]
    listener: Ints
    completeness: Doubles
    audio_confidence: Doubles | None
    audio_guessed: Doubles | None
    log_users: Doubles
    first_wanted: Wanted
    calibrated_days: float | None

    @classmethod
    def of(cls, model: HybridModel) -> Self:
        """Read from the data set of a version."""
        dataset = model.dataset
        strength = dataset.events["strength"].to_numpy()
        users = dataset.events["user_row"].to_numpy()[strength > 0]
        n_wanted = np.append(np.bincount(users, minlength=dataset.n_users), 0)
        audio = AudioFeatures.from_items(dataset.items)
        there = bool(audio.known.any())
        sure = confidence(audio, spread(audio, dataset.known_items(None))).mean(axis=1)
        guessed = np.any(audio.source >= Source.PREDICTED, axis=1)
        return cls(
            model=model,
            labels=tuple(model.bases),
            listener=np.searchsorted(SLICE_EDGES, n_wanted).astype(np.int64),
            completeness=_ended(completeness(dataset.items)),
            audio_confidence=_ended(sure) if there else None,
            audio_guessed=_ended(guessed) if there else None,
            log_users=_ended(np.log1p(item_support(dataset))),
            first_wanted=Wanted.of(dataset),
            calibrated_days=_calibrated_days(model),
        )


def _ended(values: NDArray[Any]) -> Doubles:
    return np.append(values.astype(np.float64), np.nan)


def _calibrated_days(model: HybridModel) -> float | None:
    times = model.dataset.time_us
    if times is None or model.lists.probability is None:
        return None
    base, fuse, calibrate, _ = possible_protocol(model.dataset, model.config.protocol).shares
    places = (np.array([base + fuse, base + fuse + calibrate]) * len(times) + 1e-6).astype(int)
    start, stop = times[np.minimum(places, len(times) - 1)]
    return float(stop - start) / MICROSECONDS_PER_DAY or None
