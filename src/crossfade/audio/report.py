"""How guesses on held-out creators compare with the truth."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crossfade.audio.calibration import Calibration
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.types import Doubles, Ints

LEVEL = 0.9


@dataclass(frozen=True)
class FeatureReport:
    """One feature on held-out creators.

    Attributes:
        name: The feature.
        n: Tracks with a value.
        rmse: Root mean squared error of the guess, in the feature's unit.
        prior_rmse: The same of the training mean.
        coverage: Share of values inside their 90 % interval.
        sharpness: RMSE of the surest fifth over that of the least sure fifth; NaN where no
            guess was off.
    """

    name: str
    n: int
    rmse: float
    prior_rmse: float
    coverage: float
    sharpness: float


@dataclass(frozen=True)
class AudioReport:
    """One entry per feature that was learned."""

    features: tuple[FeatureReport, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for a manifest; JSON knows no NaN, so it is None there."""
        values = [asdict(feature) for feature in self.features]
        for value in values:
            value["sharpness"] = None if np.isnan(value["sharpness"]) else value["sharpness"]
        return values

    @classmethod
    def from_json(cls, values: list[dict[str, Any]]) -> "AudioReport":
        """The inverse of `to_json`."""
        nan = float("nan")
        made = []
        for value in values:
            sharpness = nan if value["sharpness"] is None else value["sharpness"]
            made.append(FeatureReport(**{**value, "sharpness": sharpness}))
        return cls(tuple(made))

    def rows(self) -> list[list[str]]:
        """A table of text, heading first."""
        heading = ["feature", "n", "RMSE", "of the mean", "90 % covers", "surest / least sure"]
        return [heading] + [
            [
                feature.name,
                f"{feature.n:,}",
                f"{feature.rmse:.4g}",
                f"{feature.prior_rmse:.4g}",
                f"{feature.coverage:.1%}",
                "–" if np.isnan(feature.sharpness) else f"{feature.sharpness:.2f}",
            ]
            for feature in self.features
        ]


def judge(
    target: Doubles, mean: Doubles, sigma: Doubles, fold: Ints, scale: Doubles
) -> AudioReport:
    """Judge each fold's guesses after calibration on all other folds.

    Args:
        target: Standardised truth, shape ``(n, 8)``; NaN where unknown.
        mean: Standardised guesses by networks that never saw the item's creator.
        sigma: Their spreads.
        fold: Fold of each item, shape ``(n,)``.
        scale: Unit of each feature, shape ``(8,)``.
    """
    guess, spread, inside = np.empty_like(mean), np.empty_like(mean), np.zeros(mean.shape, np.bool_)
    for number in np.unique(fold):
        here = fold == number
        others = Calibration.of(target[~here], mean[~here], sigma[~here])
        guess[here], spread[here] = others.apply(mean[here], sigma[here])
        low, high = others.bounds(LEVEL)
        score = (target[here] - guess[here]) / spread[here]
        inside[here] = (score >= low) & (score <= high)
    reports = []
    for column, name in enumerate(AUDIO_FEATURES):
        known = ~np.isnan(target[:, column])
        if known.any():
            error, unit = (target - guess)[known, column], scale[column]
            reports.append(
                FeatureReport(
                    name,
                    int(known.sum()),
                    float(unit * rms(error)),
                    float(unit * rms(target[known, column])),
                    float(inside[known, column].mean()),
                    sharpness(error, spread[known, column]),
                )
            )
    return AudioReport(tuple(reports))


def rms(error: Doubles) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.square(error).mean()))


def sharpness(error: Doubles, sigma: Doubles) -> float:
    """RMSE of the surest fifth over that of the least sure fifth; NaN where that makes no error.

    Below 1 where small spreads come with small errors. Equal spreads keep their order.
    """
    order, fifth = np.argsort(sigma, kind="stable"), max(len(error) // 5, 1)
    least = rms(error[order[-fifth:]])
    return rms(error[order[:fifth]]) / least if least > 0 else float("nan")
