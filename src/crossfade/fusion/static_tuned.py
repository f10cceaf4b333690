"""One weight per base for everybody, with the scale and the start chosen on other requests."""

from collections.abc import Iterator

import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field, Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.matrix import best_on, fitted, on_scale, scaled, scales_of
from crossfade.fusion.scaling import Scaling
from crossfade.fusion.static import Start, StaticBlend, tune_static
from crossfade.types import Arrays, Doubles

_STARTS: tuple[Start, ...] = ("best", "equal")


class StaticConfig(Settings):
    """How the weights are searched."""

    k: int = Field(10, ge=1, description="Depth of the list whose NDCG is tuned.")
    n_steps: int = Field(40, ge=1, description="Most additions to the weights.")


class Static(FusionModel[StaticConfig]):
    """The static blend: tuned on train from both starts on every scale there is, chosen on validation.

    Four candidates, or two where the signals have z scores only. A candidate that only bases
    of weight 0 can score gets NaN.

    Attributes:
        scaling: The chosen scale, once fitted.
        blend: The chosen weights, once fitted.

    Source:
        Caruana et al. (2004), "Ensemble Selection from Libraries of Models"; see `tune_static`.
    """

    name = "static"
    Config = StaticConfig

    scaling: Scaling | None = None
    blend: StaticBlend | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the chosen scale is missing.
        """
        blend = fitted(self.blend, self.name)
        scaling: Scaling = fitted(self.scaling, self.name)
        self.check(signals)
        return blend.forward(on_scale(signals, scaling, self.name))

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        says = scaled(signals, fitted(self.scaling, self.name), self.name)
        return acted(fused.weights[0], says[0], signals.available[0])

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        chosen = best_on(validation, self._options(train), self.name)
        self.scaling, self.blend = chosen.scaling, chosen.blend

    def _options(self, train: LabelledSignals) -> Iterator["Static"]:
        for scaling in scales_of(train.signals):
            signals = on_scale(train.signals, scaling, self.name)
            for start in _STARTS:
                option = Static(self.config)
                option.columns, option.scaling = self.columns, scaling
                option.blend = tune_static(
                    signals,
                    train.relevant,
                    train.n_relevant,
                    self.config.k,
                    start=start,
                    n_steps=self.config.n_steps,
                )
                yield option

    def _state(self) -> Arrays:
        blend, scaling = fitted(self.blend, self.name), fitted(self.scaling, self.name)
        return {"weights": blend.weights, **pack_strings("scaling", [scaling])}

    def _restore(self, state: Arrays) -> None:
        self.blend = StaticBlend(state["weights"].astype(np.float32, copy=False))
        (self.scaling,) = unpack_strings("scaling", state)  # type: ignore[assignment]
