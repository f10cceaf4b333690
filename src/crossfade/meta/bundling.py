"""A system as the parts of a bundle, and back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from crossfade.config import validate
from crossfade.data import Dataset, Target
from crossfade.data.dataset import TABLES
from crossfade.data.vectors import PREFIX
from crossfade.errors import BundleError
from crossfade.meta.blending import Blend, BlendChoice
from crossfade.meta.config import HybridConfig
from crossfade.meta.learning import GROUPS, LearnedBlend
from crossfade.meta.nearest import Near
from crossfade.ranking.catalogue import RankingCatalogue
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.store import Bundle, load_bundle
from crossfade.types import Arrays

T = TypeVar("T")

_FIELDS = ("choice", "config", "derived", "exclude_seen", "fusion", "metrics", "mode", "n_events",
           "n_items", "n_users", "name", "near", "previous", "seed", "target")  # fmt: skip
"""What the header of a bundle may hold."""


def packed(
    dataset: Dataset,
    config: HybridConfig,
    *,
    bases: Mapping[str, Recommender[Any]],
    blend: Blend,
    learned: LearnedBlend | None,
    near: Mapping[str, Near],
    catalogue: RankingCatalogue,
    **facts: Any,
) -> Bundle:
    """Everything a bundle keeps of a system.

    What can be computed from the tables, but takes long, is kept too: the header names it under
    ``derived``.

    Args:
        dataset: Whose tables are kept.
        config: Settings.
        bases: Fitted, by label.
        blend: What scores.
        learned: The fusion model of the blend; None where the static one serves.
        near: What bases propose through, by label.
        catalogue: What ranking knows of the items.
        facts: For the header as they are.
    """
    choice = blend.choice
    header = {
        "config": config.model_dump(),
        "choice": vars(choice),
        "metrics": {"blend_ndcg": choice.calibrate_blend, "base_ndcg": choice.calibrate_base},
        "exclude_seen": blend.exclude_seen,
        **facts,
        **dataset.facts,
    }
    derived = {"ranking": catalogue.facts}
    arrays = {f"base-{label}": base.state() for label, base in bases.items()}
    if learned is not None:
        assert blend.learned is not None
        header["fusion"], groups = learned.packed()
        arrays |= groups
        derived["context"] = blend.learned.lists.reader.facts
    header |= {"derived": sorted(derived), "near": sorted(near)}
    indexes = {f"near-{label}": one.arrays() for label, one in near.items()}
    return Bundle(header, {**arrays, **indexes, **derived}, dataset.tables())


def unpacked(directory: Path, make: Callable[..., T]) -> T:
    """A system from its bundle; the inverse of `packed`.

    Args:
        directory: The bundle.
        make: `HybridModel`.

    Raises:
        BundleError: If it is missing, damaged, of another schema, or holds what nobody knows.
    """
    bundle = load_bundle(directory, _FIELDS)
    header = bundle.header
    try:
        told = header["choice"]
        config = validate(HybridConfig, header["config"], str(directory))
        target = validate(Target, header["target"], str(directory))
        derived: dict[str, Arrays] = {name: bundle.arrays[name] for name in header["derived"]}
        made = make_all(config.bases)
        _refuse_unknown_parts(directory, bundle, made)
        bases = {
            label: type(base).restore(base.config.model_dump(), bundle.arrays[f"base-{label}"])
            for label, base in made.items()
        }
        return make(
            Dataset.from_tables(bundle.frames, header["name"], target),
            config,
            bases,
            BlendChoice(**{**told, "flags": tuple(told["flags"])}),
            exclude_seen=header["exclude_seen"],
            seed=header["seed"],
            version=bundle.version,
            previous=header.get("previous"),  # early bundles had no updates and say nothing
            learned=LearnedBlend.unpacked(header.get("fusion"), bundle.arrays),
            near={
                label: Near.from_arrays(bases[label], bundle.arrays[f"near-{label}"])
                for label in header.get("near", ())  # bundles before had none
            },
            derived=derived,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{directory}: damaged ({error} is missing or wrong); fit again"
        ) from None


def _refuse_unknown_parts(directory: Path, bundle: Bundle, labels: Mapping[str, object]) -> None:
    known = {f"{kind}-{label}" for kind in ("base", "near") for label in labels} | {"ranking"}
    if bundle.header.get("fusion") is not None:
        known |= {*GROUPS, "context"}
    tables = {name for name in bundle.frames if name in TABLES or name.startswith(PREFIX)}
    unknown = (bundle.arrays.keys() - known) | (bundle.frames.keys() - tables)
    if unknown:
        raise BundleError(
            f"{directory}: unknown part {min(unknown)}; it was changed by hand or written by another "
            "crossfade; restore it or fit again"
        )
