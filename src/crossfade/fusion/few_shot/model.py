"""A blend with three numbers per base: what a domain with a handful of events can carry or learn."""

from collections.abc import Iterator

import numpy as np

from crossfade.config import Field, Settings
from crossfade.errors import NotFittedError
from crossfade.fusion.base import Columns, Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.few_shot.network import (
    Lists,
    learn,
    lengths,
    n_parameters,
    neutral,
    shown_scores,
)
from crossfade.fusion.matrix import best_on
from crossfade.types import Arrays, Doubles


class FewShotConfig(Settings):
    """How the gate learns from nothing but the lists it is fitted on."""

    pulls: tuple[float, ...] = Field(
        (0.3, 3.0, 30.0),
        min_length=1,
        description="Pulls back to where learning starts; of pull 3, three lists weigh as much as one unit of "
        "distance. The best on validation is kept.",
    )
    n_steps: int = Field(60, ge=1, description="Steps of the optimiser.")
    rate: float = Field(0.05, gt=0, description="Its step size.")


class FewShotGate(FusionModel[FewShotConfig]):
    """Weights of the bases that change with the length of a history alone.

    The score is the mean of the bases' z scores under ``softmax(bias + slope · length)``; a base that
    cannot score a candidate counts with a learned value, because that it cannot is news too: what
    nobody has met yet is seldom wanted. That part is the residual.

    Attributes:
        parameters: See `network.parts`, ``(3 S + 1,)``; None until fitted.
    """

    name = "few_shot"
    Config = FewShotConfig

    parameters: Doubles | None = None

    @classmethod
    def carried(cls, parameters: Doubles, columns: Columns) -> "FewShotGate":
        """A gate with parameters that were learned elsewhere.

        Args:
            parameters: Shape ``(3 S + 1,)``.
            columns: Of the signals it shall blend.

        Raises:
            ValueError: If the parameters are of another number of bases.
        """
        needed = n_parameters(len(columns.bases))
        if parameters.shape != (needed,):
            raise ValueError(
                f"{len(parameters)} parameters cannot blend {len(columns.bases)} bases, which need {needed}"
            )
        gate = cls()
        gate.columns, gate.parameters = columns, parameters
        return gate

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch; where no base can score, there is no score.

        Raises:
            NotFittedError: Before `fit`.
        """
        if self.parameters is None:
            raise NotFittedError("few_shot has not been fitted; call fit first")
        self.check(signals)
        n = signals.score.shape[-1]
        bias, slope, missing = self.parameters[: 3 * n].reshape(3, n)
        logits = bias + slope * lengths(signals)[:, None]
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)  # (B, S)
        there = signals.available
        said = np.where(there, share[:, None, :], 0.0)
        brought = said * shown_scores(signals)
        residual = ((share[:, None, :] - said) * missing).sum(axis=-1)
        nothing = ~signals.scored
        residual[nothing] = brought[nothing] = said[nothing] = np.nan
        with np.errstate(invalid="ignore"):
            weights = said / said.sum(axis=-1, keepdims=True)
        score = brought.sum(axis=-1) + residual
        return Fused(
            score.astype(np.float32),
            weights.astype(np.float32),
            residual=residual.astype(np.float32),
            brought=brought.astype(np.float32),
        )

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        self.parameters = best_on(validation, self._options(train), self.name).parameters

    def _options(self, train: LabelledSignals) -> Iterator["FewShotGate"]:
        lists, config = Lists.of(train), self.config
        start = neutral(lists.n_bases)
        for pull in config.pulls:
            learned = learn(lists, start, pull=pull, n_steps=config.n_steps, rate=config.rate)
            option = FewShotGate(config)
            option.columns, option.parameters = self.columns, learned
            yield option

    def _state(self) -> Arrays:
        if self.parameters is None:
            raise NotFittedError("few_shot has not been fitted; call fit first")
        return {"parameters": self.parameters}

    def _restore(self, state: Arrays) -> None:
        self.parameters = state["parameters"].astype(np.float64)
