"""Session features as a network wants them: one scale, no outliers, and a mask."""

from dataclasses import dataclass

import numpy as np

from crossfade.config import Field, Settings
from crossfade.errors import DataError
from crossfade.features.dictionary import SESSION_FEATURES
from crossfade.types import Arrays, Bools, Doubles, Floats

_IQR_OF_NORMAL = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""


class SessionScalerConfig(Settings):
    """How features are scaled for a model."""

    clip: float = Field(
        4.0,
        gt=0,
        description="Scaled values are cut at plus and minus this many robust deviations.",
    )


@dataclass(frozen=True)
class SessionScaler:
    """A transform fitted on the base block: log of heavy tails, median and spread, clip, mask.

    Attributes:
        config: How to scale.
        median: Of each feature after the logarithm, shape ``(18,)``; NaN where the base block
            never had it.
        spread: Distance of its quartiles over 1.349, so 1 for a normal one, ``(18,)``. Where the
            quartiles coincide (flags, mostly constant shares) it is the standard deviation, and 1
            for a constant.
        fitted_until_us: Up to when events were looked at; see `SessionReference`.
    """

    config: SessionScalerConfig
    median: Doubles
    spread: Doubles
    fitted_until_us: int

    @classmethod
    def fit(
        cls, features: Doubles, fitted_until_us: int, config: SessionScalerConfig | None = None
    ) -> "SessionScaler":
        """Learn median and spread.

        Args:
            features: Of the base block's users, shape ``(n, 18)``, from `session_features_at`.
            fitted_until_us: Up to when they looked, kept with the fitted arrays.
            config: How to scale.

        Raises:
            DataError: If there is no user.
        """
        if not len(features):
            raise DataError(
                "session scaler: no users to learn from; give features of the base block"
            )
        values = _log(features)
        n_known = np.isfinite(values).sum(axis=0)
        median, spread = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
        for column in np.flatnonzero(n_known):
            known = values[np.isfinite(values[:, column]), column]
            low, median[column], high = np.quantile(known, [0.25, 0.5, 0.75])
            deviation = float(known.std())
            if high > low:
                spread[column] = (high - low) / _IQR_OF_NORMAL
            elif deviation > 0:
                spread[column] = deviation
        settings = config if config is not None else SessionScalerConfig()
        return cls(settings, median, spread, fitted_until_us)

    def transform(self, features: Doubles) -> tuple[Floats, Bools]:
        """Model input.

        Args:
            features: Shape ``(n, 18)``, NaN where missing.

        Returns:
            Scaled values within plus and minus ``clip``, and which of them are known, both
            ``(n, 18)``. Unknown values are 0, which is the median, so a model must see the
            mask to tell the two apart.
        """
        scaled = (_log(features) - self.median) / self.spread
        known: Bools = np.isfinite(scaled)
        clipped = np.clip(np.where(known, scaled, 0.0), -self.config.clip, self.config.clip)
        return clipped.astype(np.float32), known

    def to_arrays(self) -> Arrays:
        """Everything but the settings, as plain arrays."""
        return {
            "median": self.median,
            "spread": self.spread,
            "fitted_until_us": np.array([self.fitted_until_us], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: SessionScalerConfig) -> "SessionScaler":
        """The inverse of `to_arrays`."""
        return cls(
            config=config,
            median=arrays["median"].astype(np.float64),
            spread=arrays["spread"].astype(np.float64),
            fitted_until_us=int(arrays["fitted_until_us"].astype(np.int64)[0]),
        )


def _log(features: Doubles) -> Doubles:
    heavy = np.array([feature.heavy_tailed for feature in SESSION_FEATURES])
    values = features.astype(np.float64, copy=True)
    values[:, heavy] = np.log1p(values[:, heavy])
    return values
