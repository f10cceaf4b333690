"""What answers in a system: fitted bases, and whatever blends them."""

from collections.abc import Mapping
from typing import Any

from crossfade.data import Dataset
from crossfade.meta.blending import Blend, BlendChoice
from crossfade.meta.config import HybridConfig
from crossfade.meta.context import ContextReader
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.lists import FusedScorer, ListBuilder
from crossfade.recommenders.base import Recommender
from crossfade.types import Arrays, Bools


def assemble(
    dataset: Dataset,
    config: HybridConfig,
    bases: Mapping[str, Recommender[Any]],
    choice: BlendChoice,
    learned: LearnedBlend | None,
    *,
    exclude_seen: bool,
    kept: Arrays | None = None,
) -> Blend:
    """The blend of a system.

    Args:
        dataset: What the bases were fitted on.
        config: Settings of the system.
        bases: Fitted, by label.
        choice: The static blend.
        learned: The fusion model that serves; None lets the static blend serve.
        exclude_seen: Whether items in a history may not be listed.
        kept: What a bundle kept of the context; None measures it on the data set.

    Raises:
        DataError: If lists have other columns than the model learned from.
    """
    candidates, taste = _candidates(dataset, config), _taste_base(bases)
    if learned is None:
        return Blend(bases, choice, exclude_seen, candidates, taste)
    reader = ContextReader(dataset, tuple(bases), learned.track, learned.environment, kept)
    lists = ListBuilder(bases, reader, exclude_seen, candidates, config.blend.n_candidates)
    learned.check(lists.columns)
    scorer = FusedScorer(learned.name, learned.model, lists)
    return Blend(bases, choice, exclude_seen, candidates, taste, learned=scorer, name=learned.name)


def _candidates(dataset: Dataset, config: HybridConfig) -> Bools | None:
    """What was evaluated is what is served: the same rule for what may be listed."""
    if config.protocol.candidates == "catalogue":
        return None
    times = dataset.time_us
    return dataset.known_items(None if times is None else int(times[-1]) + 1)


def _taste_base(bases: Mapping[str, Recommender[Any]]) -> str | None:
    """The base that speaks for stated genres and moods: one that serves everybody, if there is one."""
    reading = [label for label, base in bases.items() if base.reads_tastes]
    serving = [label for label in reading if bases[label].serves_cold_users]
    return next(iter([*serving, *reading]), None)
