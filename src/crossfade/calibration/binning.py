"""Equal-mass bins of probabilities, and what each request adds to each bin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import DataError
from crossfade.threads import one_blas_thread
from crossfade.types import Doubles, Ints


@dataclass(frozen=True, eq=False)
class Judged:
    """Checked probabilities beside what happened, rows without a probability left out.

    Attributes:
        probability: In [0, 1], shape ``(n,)``.
        wanted: 0 or 1, shape ``(n,)``.
        known: Which of the given rows these are, shape ``(n_given,)``.
    """

    probability: Doubles
    wanted: Doubles
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, probability: NDArray[Any], label: NDArray[Any]) -> "Judged":
        """Flatten and check.

        Raises:
            DataError: If a probability is outside [0, 1] or a label is not 0 or 1.
            ValueError: If the shapes differ.
        """
        if probability.shape != label.shape:
            raise ValueError(f"probability {probability.shape} and label {label.shape} must match")
        values, wanted = probability.ravel().astype(np.float64), label.ravel().astype(np.float64)
        known = ~np.isnan(values)
        values, wanted = values[known], wanted[known]
        for what, faulty in (
            ("probabilities are outside [0, 1]", (values < 0) | (values > 1)),
            ("labels are neither 0 nor 1", ~np.isin(wanted, (0.0, 1.0))),
        ):
            if faulty.any():
                raise DataError(
                    f"{faulty.sum():,} of {len(values):,} {what}; calibrate or mend first"
                )
        return cls(values, wanted, known)


def equal_mass_bins(values: Doubles, n_bins: int) -> Ints:
    """A bin for each value, numbered from the lowest, as equal in count as ties allow.

    Equal values share a bin, so how rows are ordered changes nothing; fewer bins may come of it.

    Args:
        values: Shape ``(n,)``, no NaN.
        n_bins: How many, 1 or more; never so many that a bin has less than two values.
    """
    n, n_bins = len(values), max(1, min(n_bins, len(values) // 2))
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    firsts = np.sort(values)[np.arange(1, n_bins) * n // n_bins]
    place = np.searchsorted(np.unique(firsts), values, side="right")
    # Without the empty ones: a first value that is also the lowest leaves nothing below it.
    return np.unique(place, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Binned:
    """Sums per request and bin, all shape ``(n_requests, n_bins)``.

    Attributes:
        count: Rows.
        probability: Their probabilities.
        wanted: How many were wanted.
    """

    count: Doubles
    probability: Doubles
    wanted: Doubles

    @classmethod
    def of(cls, judged: Judged, bins: Ints, request: NDArray[Any]) -> "Binned":
        """Add up.

        Args:
            judged: The rows.
            bins: From `equal_mass_bins`.
            request: Whose each given row is, of the shape the rows were given in.

        Raises:
            ValueError: If ``request`` has another size.
        """
        if request.size != judged.known.size:
            raise ValueError(f"{request.size} requests for {judged.known.size} rows")
        owners, owner = np.unique(request.ravel()[judged.known], return_inverse=True)
        shape = len(owners), int(bins.max(initial=-1)) + 1
        code = owner * shape[1] + bins

        def total(values: Doubles | None) -> Doubles:
            sums = np.bincount(code, weights=values, minlength=shape[0] * shape[1])
            return sums.astype(np.float64).reshape(shape)

        return cls(total(None), total(judged.probability), total(judged.wanted))

    def squared_gaps(self, times: Doubles | None = None) -> tuple[Doubles, Doubles]:
        """Mean squared gap between probability and share wanted over bins, plain and debiased.

        A bin's squared gap is too high by the variance of its gap, which is taken off. That
        variance is measured between requests, because rows of one request are not independent
        of each other; with one row per request and one probability per bin it is Kumar's
        ``ȳ (1 − ȳ) / (n − 1)``. Bins with rows of one request only have none and are left out.

        Args:
            times: How often each request counts, ``(n_draws, n_requests)``; once each if None.

        Returns:
            Both shape ``(n_draws,)``; NaN where every bin is left out.

        Source:
            Kumar, Liang and Ma (2019), "Verified Uncertainty Calibration", §4.2.
        """
        rows = np.ones((1, len(self.count))) if times is None else times
        error = self.wanted - self.probability
        with one_blas_thread():
            n, total = rows @ self.count, rows @ error
            n_requests = rows @ (self.count > 0)
            squares, products, counts = (
                rows @ error**2,
                rows @ (error * self.count),
                rows @ self.count**2,
            )
        gap = np.divide(total, n, out=np.zeros_like(n), where=n > 0)
        left = squares - 2 * gap * products + gap**2 * counts  # summed (error − gap × count)²
        usable = n_requests > 1
        variance = np.divide(
            left * n_requests, n**2 * (n_requests - 1), out=np.zeros_like(n), where=usable
        )
        share = np.where(usable, n, 0.0)
        mass = share.sum(axis=1)
        plain, debiased = ((share * x).sum(axis=1) for x in (gap**2, gap**2 - variance))
        nothing = np.full(len(rows), np.nan)
        return (
            np.divide(plain, mass, out=nothing.copy(), where=mass > 0),
            np.divide(debiased, mass, out=nothing, where=mass > 0),
        )
