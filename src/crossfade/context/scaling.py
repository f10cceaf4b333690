"""Context columns as a network wants them: one scale, no outliers, and a mask."""

import math
from dataclasses import dataclass

import numba
import numpy as np

from crossfade.types import Arrays, Bools, Doubles, Floats

CLIP = 4.0
"""Scaled values are cut at plus and minus this many robust deviations."""

_IQR_OF_NORMAL = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""

_ROUNDING = float(np.finfo(np.float32).eps)
"""Columns come in single precision: what differs by less than this share is the same."""


@dataclass(frozen=True, eq=False)
class ContextScaler:
    """Robust centre and spread of each column, fitted where a model learns.

    Attributes:
        centre: Median of each column, ``(C,)``; NaN where it was never known, which leaves it
            unknown for good.
        spread: Distance of the quartiles over 1.349, so 1 for a normal column; the standard
            deviation where the quartiles coincide, infinity for a constant: nothing was learned
            about other values of it, so they must not move anything.
    """

    centre: Doubles
    spread: Doubles

    @classmethod
    def fit(cls, values: Floats) -> "ContextScaler":
        """Learn scales.

        Args:
            values: Rows a model trains on, shape ``(n, C)``, NaN where missing. A column that is
                never known stays unknown.
        """
        n_columns = values.shape[1]
        centre, spread = np.full(n_columns, np.nan), np.full(n_columns, np.inf)
        for column in range(n_columns):
            known = values[np.isfinite(values[:, column]), column].astype(np.float64)
            if not len(known):
                continue
            low, centre[column], high = np.quantile(known, [0.25, 0.5, 0.75])
            deviation = float(known.std())
            rounding = _ROUNDING * float(np.abs(known).max())
            if high - low > rounding:
                spread[column] = (high - low) / _IQR_OF_NORMAL
            elif deviation > rounding:
                spread[column] = deviation
        return cls(centre, spread)

    def transform(self, values: Floats) -> tuple[Floats, Bools]:
        """Model input.

        Args:
            values: Shape ``(..., C)``, NaN where missing.

        Returns:
            Scaled values within plus and minus `CLIP`, 0 where missing, and which are known.
        """
        scaled = np.empty(values.shape, dtype=np.float32)
        known = np.empty(values.shape, dtype=np.bool_)
        rows = (math.prod(values.shape[:-1]), values.shape[-1])
        _transform(
            np.ascontiguousarray(values).reshape(rows),
            scaled.reshape(rows),
            known.reshape(rows),
            self.centre,
            self.spread,
        )
        return scaled, known

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {"centre": self.centre, "spread": self.spread}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "ContextScaler":
        """The inverse of `to_arrays`."""
        return cls(arrays["centre"].astype(np.float64), arrays["spread"].astype(np.float64))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _transform(
    values: Floats, scaled: Floats, known: Bools, centre: Doubles, spread: Doubles
) -> None:
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = np.float64(values[row, column])
            there = np.isfinite(value) and np.isfinite(centre[column])
            away = (value - centre[column]) / spread[column]
            known[row, column] = there
            scaled[row, column] = min(max(away, -CLIP), CLIP) if there else 0.0
