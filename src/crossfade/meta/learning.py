"""Learning a blend on a plan: static for everybody, or a fusion model that looks at context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.data.splits import Plan
from crossfade.errors import DataError
from crossfade.explain.sentences import UncertaintyLimits
from crossfade.features.environment import EnvironmentConfig, EnvironmentSchema
from crossfade.features.situation import EnvironmentColumn
from crossfade.fusion.base import Columns, Fused, FusionModel, LabelledSignals
from crossfade.fusion.registry import fusion_kind, make_fusion
from crossfade.fusion.scaling import Scaling
from crossfade.meta.answers import SHOWN
from crossfade.meta.blending import Bases, BlendChoice, BlendConfig, decide
from crossfade.meta.chain import Material, gather
from crossfade.meta.keeping import ListCache
from crossfade.meta.probability import Probability, probability_of
from crossfade.meta.track import TrackRecord
from crossfade.progress import task
from crossfade.types import Arrays, Rows

GROUPS = ("fusion", "track", "probability", "environment")
"""Groups of arrays that a bundle may keep of a learned blend."""


@dataclass(frozen=True, eq=False)
class LearnedBlend:
    """A fitted fusion model, and the record it needs to answer.

    Attributes:
        name: Of the fusion model.
        model: The fusion model.
        track: How the bases did in the block before, which they had not seen.
        calibrator: From its scores to the probability that a candidate is wanted; None where
            too few people wanted anything to tell.
        environment: Which situations it learned with; None where it knows of none.
        limits: Which uncertainty of its scores is small or large, from the lists of the
            calibrate block; None where it states none.
    """

    name: str
    model: FusionModel[Any]
    track: TrackRecord
    calibrator: Probability | None = None
    environment: EnvironmentSchema | None = None
    limits: UncertaintyLimits | None = None

    @property
    def situations(self) -> tuple[EnvironmentColumn, ...]:
        """The event columns of situations that it learned with."""
        return () if self.environment is None else self.environment.columns

    def packed(self) -> tuple[dict[str, Any], dict[str, Arrays]]:
        """What a bundle keeps: plain values for its header, and groups of arrays."""
        settings = self.model.config.model_dump(mode="json")
        groups = {"fusion": self.model.state(), "track": self.track.to_arrays()}
        if self.calibrator is not None:
            groups["probability"] = self.calibrator.pack()
        header = {"name": self.name, "config": settings}
        if self.limits is not None:
            header["limits"] = vars(self.limits)
        if self.environment is not None:
            groups["environment"] = self.environment.to_arrays()
            header["environment"] = self.environment.config.model_dump(mode="json")
        return header, groups

    @classmethod
    def unpacked(
        cls, header: dict[str, Any] | None, groups: Mapping[str, Arrays]
    ) -> "LearnedBlend | None":
        """The inverse of `packed`; None for a bundle in which the static blend serves.

        Raises:
            KeyError: If a part is missing.
        """
        if header is None:
            return None
        model = fusion_kind(header["name"]).restore(header["config"], groups["fusion"])
        packed = groups.get("probability")
        calibrator = None if packed is None else Probability.unpack(packed)
        track = TrackRecord.from_arrays(groups["track"])
        told = header.get("limits")  # early bundles had none
        limits = None if told is None else UncertaintyLimits(**told)
        environment = _environment(header, groups)
        return cls(header["name"], model, track, calibrator, environment, limits)

    def check(self, columns: Columns) -> None:
        """Raise unless lists have the columns that the model learned from.

        Raises:
            DataError: If they have others, because the catalogue has.
        """
        known = self.model.columns
        if columns == known:
            return
        now, then = ({*c.bases, *c.user, *c.item} for c in (columns, known))
        sides = {"new": now - then, "gone": then - now}
        told = [f"{side}: {', '.join(sorted(names))}" for side, names in sides.items() if names]
        raise DataError(
            f"{self.name} learned to blend with other columns than there are now "
            f"({'; '.join(told) or 'the same in another order'}); fit in full"
        )

    def moved(self, user_rows: Rows) -> "LearnedBlend":
        """The same model for a log that went on; ``user_rows`` are today's users in the old one."""
        return replace(self, model=self.model.moved(user_rows), track=self.track.moved(user_rows))


@dataclass(frozen=True, eq=False)
class Learned:
    """What learning on a plan gave.

    Attributes:
        choice: The static blend, which answers whom no learned one may.
        models: Fitted fusion models by name.
        track: For the test block; see `LearnedBlend`.
        calibrators: Of the scores of the model that serves, by name, fitted on the calibrate block.
        environment: See `LearnedBlend`.
        limits: Likewise, by name.
    """

    choice: BlendChoice
    models: dict[str, FusionModel[Any]]
    track: TrackRecord
    calibrators: dict[str, Probability]
    environment: EnvironmentSchema | None = None
    limits: Mapping[str, UncertaintyLimits] = field(default_factory=dict)

    def blend(self, name: str) -> LearnedBlend | None:
        """One of the models with its record; None where too little was there to learn from."""
        if name not in self.models:
            return None
        return LearnedBlend(
            name,
            self.models[name],
            self.track,
            self.calibrators.get(name),
            self.environment,
            self.limits.get(name),
        )


def learn(
    plan: Plan,
    bases: Bases,
    config: BlendConfig,
    names: Sequence[str],
    seed: int,
    *,
    cache: ListCache | None = None,
) -> Learned:
    """Fit fusion models on the blocks up to the fuse block, checked on the calibrate block.

    Where there are too few requests to tune anything, no model is fitted and the best base
    serves alone; where nothing that anybody wanted is among the candidates, the static blend
    serves. A flag of the choice says so.

    Args:
        plan: Its test block is not looked at.
        bases: Settings of the bases by label.
        config: How; settings of the models in ``fusion_settings``.
        names: Which models.
        seed: The run's one seed.
        cache: Keeps the lists that models learn from, for another run with the same bases; None
            keeps nothing.

    Raises:
        ConfigError: If a model's name or settings are wrong.
    """
    made = {name: make_fusion(name, config.fusion_settings.get(name, {})) for name in names}
    collect = gather if cache is None else cache.gather
    material = collect(plan, bases, config, seed)
    fuse = material.train.take(np.flatnonzero(material.is_fuse))
    choice = decide(
        bases, _on_each_scale(fuse), _on_each_scale(material.calibrate), config, plan.flags
    )
    models: dict[str, FusionModel[Any]] = {}
    mute = _without_a_hit(fuse=fuse, calibrate=material.calibrate)
    if mute:
        choice = replace(choice, flags=(*choice.flags, *mute))
    elif min(len(fuse), len(material.calibrate)) >= config.min_requests:
        models = fit_models(made, material, seed)
    calibrators, limits = {}, {}
    if config.fusion in models:
        with task(f"calibrate {config.fusion}"):
            fused = models[config.fusion].forward(material.calibrate.signals)
            fitted = probability_of(fused.score, material.calibrate, seed)
        if fitted is not None:
            calibrators[config.fusion] = fitted
        told = _limits(fused)
        if told is not None:
            limits[config.fusion] = told
    return Learned(choice, models, material.track, calibrators, material.environment, limits)


def _limits(fused: Fused) -> UncertaintyLimits | None:
    """Which uncertainty is small or large among what people would be shown."""
    if fused.uncertainty is None:
        return None
    best = top_k(fused.score, SHOWN)
    shown = np.take_along_axis(fused.uncertainty, np.maximum(best, 0), axis=1)[best >= 0]
    return None if np.isnan(shown).all() else UncertaintyLimits.of(shown)


def _without_a_hit(**blocks: LabelledSignals) -> list[str]:
    """One flag for each block in which no model could learn or be judged."""
    return [
        f"no request of the {name} block wants any of its candidates, so no fusion model was learned"
        for name, lists in blocks.items()
        if not (lists.relevant & lists.signals.scored).any()
    ]


def fit_models(
    made: Mapping[str, FusionModel[Any]], material: Material, seed: int
) -> dict[str, FusionModel[Any]]:
    """Every model fitted on the same lists."""
    for name, model in made.items():
        with task(f"learn {name} from {len(material.train):,} lists"):
            model.fit(material.train, material.calibrate, seed)
    return dict(made)


def installed(names: Sequence[str]) -> list[str]:
    """The fusion models among these whose extra is installed."""
    return [name for name in names if name != "lambdamart" or find_spec("lightgbm") is not None]


def _environment(header: dict[str, Any], groups: Mapping[str, Arrays]) -> EnvironmentSchema:
    """Situations that a blend learned with; none in a bundle of before they were read."""
    if "environment" not in header:
        return EnvironmentSchema(EnvironmentConfig(), ())
    config = EnvironmentConfig.model_validate(header["environment"])
    return EnvironmentSchema.from_arrays(groups["environment"], config)


def _on_each_scale(labelled: LabelledSignals) -> dict[Scaling, LabelledSignals]:
    ranks = labelled.signals.reciprocal_rank
    assert ranks is not None
    by_rank = replace(labelled, signals=replace(labelled.signals, score=ranks))
    return {"zscore": labelled, "reciprocal_rank": by_rank}
