"""A whole system as a bundle, and back."""

from collections.abc import Mapping
from typing import Any

from crossfade.config import validate
from crossfade.data import Dataset, Target
from crossfade.meta.blending import BlendChoice
from crossfade.meta.config import HybridConfig
from crossfade.meta.learning import LearnedBlend
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.store import Bundle

FIELDS = ("choice", "config", "exclude_seen", "fusion", "metrics", "mode", "n_events", "n_items", "n_users",
          "name", "previous", "seed", "target")  # fmt: skip
"""What the header of a bundle may hold."""


def pack(
    dataset: Dataset,
    config: HybridConfig,
    bases: Mapping[str, Recommender[Any]],
    choice: BlendChoice,
    learned: LearnedBlend | None,
    **facts: bool | int | str | None,
) -> Bundle:
    """What `unpack` needs, with further facts for its header."""
    header = {
        "config": config.model_dump(),
        "choice": vars(choice),
        "metrics": {"blend_ndcg": choice.calibrate_blend, "base_ndcg": choice.calibrate_base},
        **facts,
        **dataset.facts,
    }
    arrays = {f"base-{label}": base.state() for label, base in bases.items()}
    if learned is not None:
        header["fusion"], more = learned.packed()
        arrays |= more
    return Bundle(header, arrays, dataset.tables())


def unpack(bundle: Bundle, place: str) -> dict[str, Any]:
    """The arguments of `HybridModel`, by name.

    Args:
        bundle: As `pack` made it.
        place: Where it was read, for messages.

    Raises:
        KeyError: If something is missing; `TypeError` or `ValueError` if it is of a wrong kind.
        ConfigError: If its settings are unknown.
    """
    header = bundle.header
    told = header["choice"]
    config = validate(HybridConfig, header["config"], place)
    target = validate(Target, header["target"], place)
    return {
        "dataset": Dataset.from_tables(bundle.frames, header["name"], target),
        "config": config,
        "bases": {
            label: type(base).restore(base.config.model_dump(), bundle.arrays[f"base-{label}"])
            for label, base in make_all(config.bases).items()
        },
        "choice": BlendChoice(**{**told, "flags": tuple(told["flags"])}),
        "exclude_seen": header["exclude_seen"],
        "seed": header["seed"],
        "version": bundle.version,
        "previous": header.get("previous"),  # early bundles had no updates and say nothing
        "learned": LearnedBlend.unpacked(header.get("fusion"), bundle.arrays),
    }
