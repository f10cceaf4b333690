"""The item vectors of one base, as an index."""

from collections.abc import Mapping
from typing import Any

from crossfade.errors import ConfigError
from crossfade.index import Index, IndexConfig, build_index
from crossfade.recommenders.base import Recommender


def index_base(
    bases: Mapping[str, Recommender[Any]],
    label: str | None,
    config: IndexConfig | None,
    version: str,
    seed: int,
) -> Index:
    """An index over one base's item vectors, measured with the vectors of the log's users.

    Args:
        bases: Fitted bases by label.
        label: Which of them; None takes two_tower, or else the first that has vectors.
        config: Settings of the index; the defaults if None.
        version: Of the system the bases belong to.
        seed: The run's seed.

    Raises:
        ConfigError: If there is no such base, or it has no vectors.
        MissingExtraError: If FAISS is needed and not installed.
    """
    if label is not None and label not in bases:
        raise ConfigError(f'there is no base "{label}"; choose from {", ".join(bases)}')
    asked = [label] if label is not None else sorted(bases, key=lambda name: name != "two_tower")
    for name in asked:
        vectors = bases[name].embeddings()
        if vectors is not None:
            return build_index(
                vectors.item, config, version=version, seed=seed, queries=vectors.user
            )
    raise ConfigError(
        f"{', '.join(asked)}: no item vectors to export; add two_tower or ials to the bases and fit again"
    )
