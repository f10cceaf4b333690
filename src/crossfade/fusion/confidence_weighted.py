"""Each base weighs as much as it is likely to be right."""

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field, Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.matrix import SCALES, best_on, fitted, scaled, wanted_lists, weighted
from crossfade.fusion.scaling import Scaling
from crossfade.types import Arrays, Bools, Doubles


class ConfidenceWeightedConfig(Settings):
    """How far the probabilities are held back."""

    l2: float = Field(
        1.0, gt=0, description="L2 penalty on the two slopes of each base, in candidates."
    )


class ConfidenceWeighted(FusionModel[ConfidenceWeightedConfig]):
    """Mean of the scores, each base weighted by its confidence in this candidate.

    Confidence is the probability that the candidate is wanted, given only this base's z score
    and reciprocal rank: one logistic regression per base over all candidates it scores, those of
    requests without a wanted candidate too, as they say how often a base is wrong. It is
    reported as `Fused.confidence` and is what the weights are proportional to. The scale of the
    scores that are averaged is chosen on validation.

    Source:
        Platt (1999), "Probabilistic Outputs for Support Vector Machines", with two inputs.
    """

    name = "confidence_weighted"
    Config = ConfidenceWeightedConfig

    coefficients: Doubles | None = None
    """Intercept and slopes on z score and reciprocal rank, ``(S, 3)``; None until fitted."""
    scaling: Scaling | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the signals have no reciprocal ranks.
        """
        intercept, on_z, on_rank = fitted(self.coefficients, self.name).T
        self.check(signals)
        there = signals.available
        z = np.where(there, signals.score, 0.0)
        rank = np.where(there, scaled(signals, "reciprocal_rank", self.name), 0.0)
        # Never exactly 0 or 1, so that somebody always has a weight.
        confidence = np.clip(expit(intercept + on_z * z + on_rank * rank), 1e-9, 1 - 1e-9)
        scaling: Scaling = fitted(self.scaling, self.name)
        fused = weighted(scaled(signals, scaling, self.name), there, confidence)
        shown = np.where(there, confidence, np.nan).astype(np.float32)
        return Fused(fused.score, fused.weights, shown)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        says = scaled(signals, fitted(self.scaling, self.name), self.name)
        return acted(fused.weights[0], says[0], signals.available[0])

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        wanted_lists(train, self.name)  # says at once if there is nothing to learn
        there = train.signals.available
        rank = scaled(train.signals, "reciprocal_rank", self.name)
        rows = []
        for base in range(there.shape[2]):
            own = there[:, :, base]
            features = np.column_stack([train.signals.score[own, base], rank[own, base]])
            rows.append(self._platt(features.astype(np.float64), train.relevant[own]))
        best = best_on(validation, self._options(np.array(rows)), self.name)
        self.coefficients, self.scaling = best.coefficients, best.scaling

    def _options(self, coefficients: Doubles) -> Iterator["ConfidenceWeighted"]:
        for scaling in SCALES:
            option = ConfidenceWeighted(self.config)
            option.columns, option.coefficients = self.columns, coefficients
            option.scaling = scaling
            yield option

    def _platt(self, features: Doubles, relevant: Bools) -> Doubles:
        """Intercept and slopes of one base, ``(3,)``."""
        n_wanted, n = int(relevant.sum()), len(relevant)
        mean, deviation = (features.mean(axis=0), features.std(axis=0)) if n else (0.0, np.zeros(2))
        varies = deviation > 1e-6
        if n_wanted in {0, n} or not varies.any():
            # Nothing to tell wanted from unwanted by: Krichevsky and Trofimov's estimate of the share.
            return np.array([logit((n_wanted + 0.5) / (n + 1)), 0.0, 0.0])
        from sklearn.linear_model import LogisticRegression  # slow to import

        inverse = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
        model = LogisticRegression(C=1 / self.config.l2, solver="newton-cholesky", tol=1e-8)
        model.fit((features - mean) * inverse, relevant)
        slopes = model.coef_[0] * inverse
        return np.array([model.intercept_[0] - slopes @ mean, *slopes])

    def _state(self) -> Arrays:
        return {
            "coefficients": fitted(self.coefficients, self.name),
            **pack_strings("scaling", [fitted(self.scaling, self.name)]),
        }

    def _restore(self, state: Arrays) -> None:
        self.coefficients = state["coefficients"].astype(np.float64)
        (self.scaling,) = unpack_strings("scaling", state)  # type: ignore[assignment]
