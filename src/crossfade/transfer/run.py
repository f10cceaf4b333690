"""From sources and a target to a decision, and to the system that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from crossfade.data import Dataset
from crossfade.data.splits import ProtocolConfig
from crossfade.errors import DataError
from crossfade.fusion.base import Columns
from crossfade.fusion.few_shot.model import FewShotGate
from crossfade.fusion.static import tune_static
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice, BlendConfig
from crossfade.meta.context import ContextReader
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.track import TrackRecord
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.transfer.case import Case
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.decision import Decision, decide
from crossfade.transfer.drawing import event_places
from crossfade.transfer.exporting import check_bases
from crossfade.transfer.facts import DEPTH
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.options import OPTIONS
from crossfade.transfer.similarity import Likeness, likeness
from crossfade.transfer.tasks import Support
from crossfade.types import Doubles, Floats


@dataclass(frozen=True, eq=False)
class Transfer:
    """What was found for a target.

    Attributes:
        target: The log it begins with.
        decision: Whether anything is carried, and what.
        likenesses: Of each source.
        gate: Parameters of the blend that was chosen.
        fixed: Weights tuned on the target alone, which answer who names a taste.
        config: How it was found.
        seed: Likewise.
    """

    target: Dataset
    decision: Decision
    likenesses: tuple[Likeness, ...]
    gate: Doubles
    fixed: Floats
    config: TransferConfig
    seed: int

    def model(self) -> HybridModel:
        """The system: every base fitted on all of the target's log, blended as was decided."""
        labels, log = tuple(self.config.bases), self.target
        blend = BlendConfig(fusion="few_shot", n_candidates=self.config.n_candidates)
        settings = HybridConfig(
            bases=self.config.bases, blend=blend, protocol=ProtocolConfig(candidates="catalogue")
        )
        weights = {label: float(share) for label, share in zip(labels, self.fixed, strict=True)}
        prior = "popularity" if "popularity" in labels else None
        choice = BlendChoice(
            scaling="zscore",
            weights=weights,
            kept=True,
            best_base=max(labels, key=lambda label: weights[label]),
            calibrate_blend=self.decision.chosen.quality or 0.0,
            calibrate_base=self.decision.standings[0].quality or 0.0,
            prior=prior,
            flags=(f"carried into a new domain: {self.decision.option}",),
        )
        nobody = TrackRecord.empty(log.n_users, len(labels))
        reader = ContextReader(log, labels, nobody)
        columns = Columns(labels, reader.user_columns, reader.item_columns)
        gate = FewShotGate.carried(self.gate, columns)
        learned = LearnedBlend("few_shot", gate, nobody, environment=reader.environment)
        return HybridModel.fit(log, settings, self.seed, choice=choice, learned=learned)


def first_events(dataset: Dataset, shots: int, seed: int) -> Dataset:
    """The first events of each person; in a random order where there are no times."""
    place = event_places(dataset, generator(seed, "transfer.shots"))
    return dataset.where(pl.Series(place < shots))


def transfer(
    sources: Sequence[Knowledge],
    target: Dataset,
    config: TransferConfig | None = None,
    seed: int = 0,
) -> Transfer:
    """Decide what to carry into a target, by its own lists.

    Args:
        sources: What was learned elsewhere; without any, starting from nothing is all there is.
        target: A log of a handful of events, and its catalogue.
        config: How; the defaults if None.
        seed: The run's one seed.

    Raises:
        ConfigError: If a source learned to blend other bases.
        DataError: If the target has so few events that it can ask itself nothing.
    """
    config = config or TransferConfig()
    for source in sources:
        check_bases(source, config)
    rng = generator(seed, "transfer.target")
    with task(f"ask {target.name} what it wanted of itself"):
        support = Support.of(target, config, rng, seed)
    if support is None:
        raise DataError(
            f"{target.name}: {target.n_events:,} events of {target.n_users:,} people cannot be told from one "
            "another; at least two people with an event each, or one with two, are needed"
        )
    with task("let all options compete"):
        decision = decide(sources, support, config, rng)
    case = Case.of(sources, support, config)
    option = next(one for one in OPTIONS if one.name == decision.option)
    gate = option.settle(case)
    assert gate is not None, "an option that was judged has something to offer"
    own = support.lists
    fixed = tune_static(own.signals, own.relevant, own.n_relevant, DEPTH).weights
    told = tuple(likeness(source, case) for source in sources)
    return Transfer(target, decision, told, gate, fixed, config, seed)
