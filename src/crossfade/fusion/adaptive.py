"""Weights that depend on who asks: a linear gate on the user's own features."""

from collections.abc import Iterator

import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field
from crossfade.context.scaling import ContextScaler
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.learned_weights import (
    LearnedWeights,
    LearnedWeightsConfig,
    Lists,
    descend,
    gated,
)
from crossfade.fusion.matrix import (
    best_on,
    check_validation,
    fitted,
    on_scale,
    scaled,
    user_context,
)
from crossfade.fusion.scaling import Scaling
from crossfade.types import Arrays, Doubles


class AdaptiveConfig(LearnedWeightsConfig):
    """How far users may differ, and how long that is learned."""

    l2: tuple[float, ...] = Field(
        (1.0, 0.1, 0.01),
        min_length=1,
        description="Penalties on half the squared effects, beside the mean loss of a list; the best on "
        "validation is kept, or no effect at all where that is better.",
    )


class Adaptive(FusionModel[AdaptiveConfig]):
    """Weights ``softmax(logits + user features × effects)`` over the bases that can score.

    Starts at the learned global weights with all effects 0 and is drawn back there by the
    penalty; the global weights themselves are one of the choices, so where users do not differ
    the model is `learned_weights`. Features are scaled on train; a missing one is 0, which leaves
    the weights at the global ones.

    Attributes:
        logits: For a user of average features, ``(S,)``, once fitted.
        effects: Of each feature on each base's logit, ``(Cu, S)``.
        scaler: Of the features.
        scaling: The scale that the global weights chose.

    Source:
        Jacobs et al. (1991), "Adaptive Mixtures of Local Experts": a gate, with bases for experts.
    """

    name = "adaptive"
    Config = AdaptiveConfig

    logits: Doubles | None = None
    effects: Doubles | None = None
    scaler: ContextScaler | None = None
    scaling: Scaling | None = None

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If user columns or the chosen scale are missing.
        """
        logits = fitted(self.logits, self.name)
        scaling: Scaling = fitted(self.scaling, self.name)
        self.check(signals)
        features = self._features(signals)
        each = np.broadcast_to(logits, (len(features), len(logits)))
        for column, effect in zip(features.T, fitted(self.effects, self.name), strict=True):
            each = (
                each + column[:, None] * effect
            )  # no matrix product: its rounding knows the batch
        return gated(on_scale(signals, scaling, self.name), each)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        says = scaled(signals, fitted(self.scaling, self.name), self.name)
        return acted(fused.weights[0], says[0], signals.available[0])

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        user = user_context(train.signals, self.name)
        check_validation(validation, self.name)
        start = LearnedWeights(
            LearnedWeightsConfig(
                max_iterations=self.config.max_iterations, patience=self.config.patience
            )
        )
        start.columns = self.columns
        start._fit(train, validation, rng)
        self.scaling, self.scaler = start.scaling, ContextScaler.fit(user)
        best = best_on(validation, self._options(start, train, validation), self.name)
        self.logits, self.effects = best.logits, best.effects

    def _options(
        self, start: LearnedWeights, train: LabelledSignals, validation: LabelledSignals
    ) -> Iterator["Adaptive"]:
        scaling: Scaling = fitted(start.scaling, self.name)
        logits = fitted(start.logits, self.name)
        n_bases, n_features = len(logits), len(self.columns.user)
        here, there = (
            (lists, self._features(labelled.signals)[lists.place])
            for labelled in (train, validation)
            for lists in [Lists.of(labelled, scaling, self.name)]
        )
        first = np.concatenate([logits, [start.log_sharpness], np.zeros(n_features * n_bases)])
        yield self._with(logits, np.zeros((n_features, n_bases)))
        for l2 in self.config.l2:

            def loss(values: Doubles, l2: float = l2) -> tuple[float, Doubles]:
                return gate_loss(values, *here, l2)

            def judge(values: Doubles) -> float:
                return gate_loss(values, *there, 0.0)[0]

            found = descend(loss, judge, first, self.config)
            yield self._with(found[:n_bases], found[n_bases + 1 :].reshape(n_features, n_bases))

    def _features(self, signals: Signals) -> Doubles:
        """Scaled user columns, ``(B, Cu)``."""
        user = user_context(signals, self.name)
        return fitted(self.scaler, self.name).transform(user)[0].astype(np.float64)

    def _with(self, logits: Doubles, effects: Doubles) -> "Adaptive":
        option = Adaptive(self.config)
        option.columns, option.scaling, option.scaler = self.columns, self.scaling, self.scaler
        option.logits, option.effects = logits, effects
        return option

    def _state(self) -> Arrays:
        return {
            "logits": fitted(self.logits, self.name),
            "effects": fitted(self.effects, self.name),
            **{f"user.{k}": v for k, v in fitted(self.scaler, self.name).to_arrays().items()},
            **pack_strings("scaling", [fitted(self.scaling, self.name)]),
        }

    def _restore(self, state: Arrays) -> None:
        self.logits = state["logits"].astype(np.float64)
        self.effects = state["effects"].astype(np.float64)
        self.scaler = ContextScaler.from_arrays(
            {k: state[f"user.{k}"] for k in ("centre", "spread")}
        )
        (self.scaling,) = unpack_strings("scaling", state)  # type: ignore[assignment]


def gate_loss(values: Doubles, lists: Lists, features: Doubles, l2: float) -> tuple[float, Doubles]:
    """Listwise loss of a linear gate plus ``l2 / 2`` times the squared effects, and its gradient.

    Args:
        values: Logits ``(S,)``, log sharpness, effects ``(Cu, S)``, end to end.
        lists: R of them.
        features: Of each list's user, ``(R, Cu)``.
        l2: Penalty.
    """
    n_bases = lists.score.shape[1]
    effects = values[n_bases + 1 :].reshape(features.shape[1], n_bases)
    value, by_logits, by_sharpness = lists.loss(
        values[:n_bases] + features @ effects, float(values[n_bases])
    )
    by_effects = features.T @ by_logits + l2 * effects
    gradient = np.concatenate([by_logits.sum(axis=0), [by_sharpness], by_effects.ravel()])
    return value + l2 / 2 * float((effects**2).sum()), gradient
