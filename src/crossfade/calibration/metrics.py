"""How well probabilities hold: calibration error, reliability curve, Brier score, log-loss."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, xlog1py, xlogy

from crossfade.calibration.binning import Binned, Judged, equal_mass_bins
from crossfade.types import Doubles

N_BINS = 15
_CELLS = 4_000_000
"""Random numbers held at once; bounds memory at about 32 MB."""


@dataclass(frozen=True)
class CalibrationError:
    """How far probabilities are from shares, over equal-mass bins; in units of probability.

    Attributes:
        plain: Mean absolute gap, the ECE as it is mostly reported; never below what chance alone
            makes, so too high for good calibrators and small data.
        debiased: Root of the mean squared gap, freed of what chance adds to it. It is at least the
            mean absolute gap, so a bar passed by it is passed by the other. Where less is left
            than nothing, minus the root of what is missing: a good calibrator's value is around 0.
        low: Lower end of its interval; NaN with less than two requests.
        high: Upper end.
        n: Rows with a probability.
        n_requests: Whose they are.
        n_bins: Bins that could be told apart.
    """

    plain: float
    debiased: float
    low: float
    high: float
    n: int
    n_requests: int
    n_bins: int


def calibration_error(
    probability: NDArray[Any],
    label: NDArray[Any],
    request: NDArray[Any],
    rng: np.random.Generator,
    *,
    n_bins: int = N_BINS,
    resamples: int = 1_000,
    level: float = 0.95,
) -> CalibrationError:
    """Expected calibration error with an interval over requests.

    The bootstrap draws whole requests, and its distribution is used as that of the error around
    the truth (the pivotal interval): plain percentiles would be around the biased value, because
    drawing from drawn data adds the same chance once more.

    Args:
        probability: Any shape; NaN is left out.
        label: Whether the event happened, same shape.
        request: Whose each row is, same shape.
        rng: Draws requests.
        n_bins: Of equal mass; see `equal_mass_bins`.
        resamples: Draws of all requests.
        level: Of the interval, in (0, 1).

    Returns:
        All NaN, and counts of 0, where no row has a probability.

    Raises:
        DataError: If probabilities are outside [0, 1] or labels are not 0 or 1.

    Source:
        Kumar, Liang and Ma (2019), "Verified Uncertainty Calibration", §4, for the debiased square,
        here with the variance between requests; Roelofs et al. (2022), "Mitigating Bias in
        Calibration Error Estimation", for equal mass.
    """
    judged = Judged.of(np.asarray(probability), np.asarray(label))
    bins = equal_mass_bins(judged.probability, n_bins)
    sums = Binned.of(judged, bins, np.asarray(request))
    n_requests, n_found = sums.count.shape
    n = len(judged.wanted)
    if n == 0:
        return CalibrationError(np.nan, np.nan, np.nan, np.nan, 0, 0, 0)
    gap = (sums.wanted - sums.probability).sum(axis=0)
    plain = float(np.abs(gap).sum() / n)
    (with_chance,), (debiased,) = sums.squared_gaps()
    if np.isnan(debiased):
        return CalibrationError(plain, np.nan, np.nan, np.nan, n, n_requests, n_found)
    draws = _redrawn(sums, resamples, rng)
    tails = np.nanquantile(draws, [(1 + level) / 2, (1 - level) / 2]) - with_chance
    low, high = debiased - tails
    return CalibrationError(plain, _root(debiased), _root(low), _root(high), n, n_requests, n_found)


def _redrawn(sums: Binned, resamples: int, rng: np.random.Generator) -> Doubles:
    """Debiased squared gaps of requests drawn with replacement, shape ``(resamples,)``."""
    n = len(sums.count)
    size = max(1, _CELLS // n)
    pieces = []
    for start in range(0, resamples, size):
        n_draws = min(size, resamples - start)
        drawn = rng.integers(0, n, size=(n_draws, n)) + np.arange(n_draws)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        pieces.append(sums.squared_gaps(times.astype(np.float64))[1])
    return np.concatenate(pieces)


def _root(square: float) -> float:
    return float(np.sign(square) * np.sqrt(abs(square)))


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was promised and what came of it, bin by bin; all shape ``(n_bins,)``.

    Attributes:
        probability: Mean promised.
        share: Wanted of the rows.
        low: Lower end of the share's interval, from the variance between requests.
        high: Upper end.
        n: Rows.
    """

    probability: Doubles
    share: Doubles
    low: Doubles
    high: Doubles
    n: Doubles


def reliability_curve(
    probability: NDArray[Any],
    label: NDArray[Any],
    request: NDArray[Any],
    *,
    n_bins: int = N_BINS,
    level: float = 0.95,
) -> Reliability:
    """Share that was wanted against the probability that was given, in bins of equal mass.

    Intervals are Wilson's with as many rows as the variance between requests is worth, so rows
    of one request that agree count as fewer.

    Returns:
        Empty arrays where no row has a probability.

    Raises:
        DataError: As `calibration_error`.
    """
    judged = Judged.of(np.asarray(probability), np.asarray(label))
    bins = equal_mass_bins(judged.probability, n_bins)
    sums = Binned.of(judged, bins, np.asarray(request))
    n, wanted = sums.count.sum(axis=0), sums.wanted.sum(axis=0)
    share = wanted / n
    between = ((sums.wanted - share * sums.count) ** 2).sum(axis=0)
    # Rows worth: y(1 − y) over the variance of the share; no more than there are.
    worth = np.divide(share * (1 - share) * n**2, between, out=n.copy(), where=between > 0)
    worth = np.minimum(worth, n)
    z = float(ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * worth)) / (1 + z**2 / worth)
    reach = z * np.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2)) / (1 + z**2 / worth)
    return Reliability(
        sums.probability.sum(axis=0) / n,
        share,
        np.maximum(middle - reach, 0.0),
        np.minimum(middle + reach, 1.0),
        n,
    )


@dataclass(frozen=True)
class Brier:
    """Mean squared error of probabilities and what it is made of.

    ``score = reliability − resolution + uncertainty + within``, exactly.

    Attributes:
        score: In [0, 1], lower is better.
        reliability: Squared distance of probabilities from shares, over bins: 0 when calibrated.
        resolution: How far shares of bins are from the overall share: higher tells more.
        uncertainty: ``ȳ (1 − ȳ)``, what the data makes of it; nobody can help it.
        within: What probabilities that differ inside a bin add or save.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier(probability: NDArray[Any], label: NDArray[Any], *, n_bins: int = N_BINS) -> Brier:
    """Brier score with its decomposition over equal-mass bins; NaN without any row.

    Raises:
        DataError: As `calibration_error`.

    Source:
        Murphy (1973), "A New Vector Partition of the Probability Score"; Stephenson, Coelho and
        Jolliffe (2008), "Two Extra Components in the Brier Score Decomposition".
    """
    judged = Judged.of(np.asarray(probability), np.asarray(label))
    p, y = judged.probability, judged.wanted
    if not len(p):
        return Brier(np.nan, np.nan, np.nan, np.nan, np.nan)
    bins = equal_mass_bins(p, n_bins)
    n = np.bincount(bins)
    mean_p, mean_y = np.bincount(bins, weights=p) / n, np.bincount(bins, weights=y) / n
    base = y.mean()
    deviation = p - mean_p[bins]
    return Brier(
        score=float(((p - y) ** 2).mean()),
        reliability=float((n * (mean_p - mean_y) ** 2).sum() / len(p)),
        resolution=float((n * (mean_y - base) ** 2).sum() / len(p)),
        uncertainty=float(base * (1 - base)),
        within=float((deviation**2 - 2 * deviation * (y - mean_y[bins])).mean()),
    )


def log_losses(probability: Doubles, label: NDArray[Any]) -> Doubles:
    """``−ln`` of the probability given to what happened, row by row, in nats.

    Infinite where something was ruled out and happened; NaN where there is no probability.
    """
    wanted = label.astype(np.float64)
    losses = -xlogy(wanted, probability) - xlog1py(1 - wanted, -probability)
    return np.asarray(losses, np.float64)


def log_loss(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """Mean of `log_losses` over rows with a probability; NaN without any.

    Raises:
        DataError: As `calibration_error`.
    """
    judged = Judged.of(np.asarray(probability), np.asarray(label))
    losses = log_losses(judged.probability, judged.wanted)
    return float(losses.mean()) if len(losses) else np.nan
