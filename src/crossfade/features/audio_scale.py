"""Audio features on one scale, and how much each value tells."""

import numpy as np

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.audio import RANGES, AudioFeatures, Source
from crossfade.types import Bools, Doubles, Floats

_LOW, _HIGH = np.array([RANGES[name] for name in AUDIO_FEATURES]).T


def unit(values: Floats) -> Doubles:
    """Audio values, shape ``(n, 8)``, on a common scale from 0 to 1; NaN stays."""
    scaled: Doubles = (values - _LOW) / (_HIGH - _LOW)
    return scaled


def spread(audio: AudioFeatures, known: Bools) -> Doubles:
    """Deviation of each feature over the known items on the scale of `unit`.

    The variance of the values plus the mean variance of the guesses: guesses alone vary
    less than what they stand for (law of total variance).

    Args:
        audio: Features of the catalogue.
        known: Which items to look at, shape ``(n,)``.

    Returns:
        Shape ``(8,)``; NaN where no known item has a value.
    """
    use = known[:, None] & audio.known
    value = np.where(use, unit(audio.mean), np.nan)
    doubt = np.where(use, np.square(unit_width(audio.sigma)), np.nan)
    deviation: Doubles = np.sqrt(np.square(nan_std(value)) + nan_mean(doubt))
    return deviation


def confidence(audio: AudioFeatures, spread: Doubles) -> Floats:
    """How much of the catalogue's variance each value explains.

    Args:
        audio: Features of some items.
        spread: Of the known items, shape ``(8,)``.

    Returns:
        Shape ``(n, 8)``: 1 for measured values, ``max(0, 1 − σ² / spread²)`` for guesses, 0
        where there is no value, and for guesses where ``spread`` is NaN or 0, for then there
        is no yardstick.
    """
    yardstick = np.where(spread > 0, spread, np.nan)
    explained = 1.0 - np.square(unit_width(audio.sigma) / yardstick)
    guessed = np.nan_to_num(np.maximum(explained, 0.0), nan=0.0)
    sure = audio.source == Source.ACTUAL
    return np.where(audio.known, np.where(sure, 1.0, guessed), 0.0).astype(np.float32)


def nan_mean(values: Doubles) -> Doubles:
    """Mean of each column over what is known; NaN where nothing is, without a warning."""
    known = np.isfinite(values)
    n_known = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(n_known > 0, total / np.maximum(n_known, 1), np.nan)


def nan_std(values: Doubles) -> Doubles:
    """Deviation of each column over what is known; NaN where nothing is."""
    deviation: Doubles = np.sqrt(nan_mean(np.square(values - nan_mean(values))))
    return deviation


def unit_width(widths: Floats) -> Doubles:
    """Spreads of audio values, shape ``(n, 8)``, on the scale of `unit`; NaN stays."""
    width: Doubles = widths / (_HIGH - _LOW)
    return width
