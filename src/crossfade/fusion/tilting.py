"""What one person's own taste for a base adds to blended scores: a tilt, outside of every model.

Shapes: one request with L candidates, S bases.
"""

from typing import NamedTuple

import numpy as np

from crossfade.fusion.base import Signals
from crossfade.types import Bools, Doubles, Floats


class OneScale(NamedTuple):
    """Scores of the candidates of one request, each kind less its mean and over its spread.

    So a tilt of 1 means the same over any catalogue and any blend.

    Attributes:
        score: Blended, ``(L,)``; NaN where there is none.
        said: By each base, ``(L, S)``; 0, which is its mean, where it says nothing.
        spread: Standard deviation of the blended scores; 0 where they are all the same.
    """

    score: Doubles
    said: Doubles
    spread: float


def one_scale(signals: Signals, score: Floats) -> OneScale:
    """The candidates of the only request on one scale; those without a blended score do not count.

    Args:
        signals: One request.
        score: Blended, ``(1, L)``.
    """
    # In one layout whoever made them, since sums depend on it.
    blended = np.array(score[0], dtype=np.float64)
    there = np.isfinite(blended)
    blended, spread = _scaled(blended[:, None], there[:, None])
    bases = np.array(signals.score[0], dtype=np.float64, order="C")
    said, _ = _scaled(bases, signals.available[0] & there[:, None])
    return OneScale(np.where(there, blended[:, 0], np.nan), said, float(spread[0]))


def tilt_of(scale: OneScale, tilt: Doubles) -> Doubles:
    """What each base adds to each blended score, in its own unit, ``(L, S)``.

    Args:
        scale: Of the request.
        tilt: Spreads of the blend per spread of each base, ``(S,)``.
    """
    return scale.spread * scale.said * tilt


def _scaled(values: Doubles, there: Bools) -> tuple[Doubles, Doubles]:
    """Columns with mean 0 and spread 1 over what is there, 0 elsewhere; and their spreads before."""
    n = np.maximum(there.sum(axis=0), 1)
    away = np.where(there, values, 0.0)
    away = np.where(there, away - away.sum(axis=0) / n, 0.0)
    spread = np.sqrt(np.square(away).sum(axis=0) / n)
    # Rounding leaves a constant column a speck of spread.
    varies = spread > 1e-9 * np.maximum(
        np.abs(np.where(there, values, 0.0)).max(axis=0, initial=0), 1e-300
    )
    spread = np.where(varies, spread, 0.0)
    return np.divide(away, spread, out=np.zeros_like(away), where=spread > 0), spread
