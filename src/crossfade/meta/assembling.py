"""What answers in a system: fitted bases, and whatever blends them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crossfade.data import Dataset
from crossfade.meta.blending import Blend, BlendChoice
from crossfade.meta.config import HybridConfig
from crossfade.meta.context import ContextReader
from crossfade.meta.contextual import list_builder
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.lists import FusedScorer
from crossfade.meta.nearest import Near
from crossfade.meta.nearest import prepare as prepare_all
from crossfade.recommenders.base import Recommender
from crossfade.rng import generator
from crossfade.types import Arrays, Bools


def assemble(
    dataset: Dataset,
    config: HybridConfig,
    bases: Mapping[str, Recommender[Any]],
    choice: BlendChoice,
    learned: LearnedBlend | None,
    *,
    exclude_seen: bool,
    near: Mapping[str, Near],
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
        near: What is prepared of bases that propose through an index, by label.
        kept: What a bundle kept of the context; None measures it on the data set.

    Raises:
        DataError: If lists have other columns than the model learned from.
    """
    candidates, taste = _candidates(dataset, config), _taste_base(bases)
    if learned is None:
        return Blend(bases, choice, exclude_seen, candidates, taste)
    reader = ContextReader(dataset, tuple(bases), learned.track, learned.environment, kept)
    lists = list_builder(
        dataset, bases, reader, config.blend, exclude_seen=exclude_seen, candidates=candidates
    )
    lists = replace(lists, near=near)
    learned.check(lists.columns)
    scorer = FusedScorer(learned.name, learned.model, lists)
    return Blend(bases, choice, exclude_seen, candidates, taste, learned=scorer, name=learned.name)


def prepare(
    dataset: Dataset,
    config: HybridConfig,
    bases: Mapping[str, Recommender[Any]],
    learned: LearnedBlend | None,
    seed: int,
) -> dict[str, Near]:
    """Indexes of the bases that propose through one, by label.

    None for a small catalogue, and none for a static blend, which scores the whole of it.

    Raises:
        MissingExtraError: If FAISS is needed and not installed.
    """
    least = config.blend.index_from
    if learned is None or least is None or dataset.n_items < least:
        return {}
    drawn = generator(seed, "meta.nearest").permutation(dataset.n_users)[:N_ASKED]
    queries = dataset.queries(np.sort(drawn).astype(np.int32))
    return prepare_all(bases, queries, _candidates(dataset, config), seed)


N_ASKED = 2_000
"""People whose requests an index is tuned and measured on; it draws from those that have a vector."""


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
