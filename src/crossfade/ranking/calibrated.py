"""Lists whose genres are spread as those of the history are."""

import numpy as np

from crossfade.types import Doubles

SMOOTHING = 0.01
"""Share of the history's own spread in the list's, so that a genre still absent costs much, not everything."""


def calibration_gap(history: Doubles, listed: Doubles | None) -> float:
    """Kullback-Leibler divergence of a list's genres from those of the history, in nats.

    Args:
        history: Share of each genre in the history, shape ``(n_genres,)``, 1 in sum.
        listed: The same for a list; None where no genre in it is known.

    Returns:
        0 if both are equal; at most ``log(1 / SMOOTHING)``, which a list without any genre has.

    Source:
        Steck (2018), "Calibrated Recommendations", C_KL with q smoothed.
    """
    shares = np.zeros_like(history) if listed is None else listed
    there = history > 0
    own = history[there]
    smoothed = (1 - SMOOTHING) * shares[there] + SMOOTHING * own
    return float((own * np.log(own / smoothed)).sum())
