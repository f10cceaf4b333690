"""Every base recommender by name, and how settings become models."""

from collections.abc import Mapping
from typing import Any

from crossfade.config import validate
from crossfade.errors import ConfigError
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.content_knn import ContentKNN
from crossfade.recommenders.ease import EASE
from crossfade.recommenders.genre_item_knn import GenreItemKNN
from crossfade.recommenders.genre_neighbours import GenreNeighbours
from crossfade.recommenders.genre_popularity import GenrePopularity
from crossfade.recommenders.ials import IALS
from crossfade.recommenders.item_knn import ItemKNN
from crossfade.recommenders.modality_knn import ModalityKNN
from crossfade.recommenders.nmf import NMF
from crossfade.recommenders.popularity import Popularity
from crossfade.recommenders.session_knn import SessionKNN
from crossfade.recommenders.two_tower.recommender import TwoTower

RECOMMENDERS: dict[str, type[Recommender[Any]]] = {
    kind.name: kind
    for kind in (
        Popularity,
        ItemKNN,
        EASE,
        NMF,
        IALS,
        SessionKNN,
        ContentKNN,
        ModalityKNN,
        GenrePopularity,
        GenreNeighbours,
        GenreItemKNN,
        TwoTower,
    )
}
"""From name to class; a new recommender joins by being listed here."""


def make(
    name: str, settings: Mapping[str, Any] | None = None, label: str | None = None
) -> Recommender[Any]:
    """An unfitted recommender.

    Args:
        name: One of `RECOMMENDERS`.
        settings: Values that differ from the defaults of its ``Config``.
        label: What messages call it; its name by default.

    Raises:
        ConfigError: For an unknown name, or with one line per wrong setting.
    """
    if name not in RECOMMENDERS:
        raise ConfigError(
            f'bases.{label or name}: there is no recommender "{name}"; '
            f"choose from {', '.join(sorted(RECOMMENDERS))}"
        )
    kind = RECOMMENDERS[name]
    return kind(validate(kind.Config, dict(settings or {}), f"bases.{label or name}"))


def make_all(labelled: Mapping[str, Mapping[str, Any]]) -> dict[str, Recommender[Any]]:
    """Unfitted recommenders under labels of their own.

    The key ``model`` names the kind and may be left out where the label already does,
    so that one kind can be used several times:
    ``{"ease": {}, "weekly": {"model": "popularity", "half_life_days": 7}}``.

    Raises:
        ConfigError: With every fault of every entry.
    """
    made, faults = {}, []
    for label, entry in labelled.items():
        settings = dict(entry)
        name = str(settings.pop("model", label))
        try:
            made[label] = make(name, settings, label)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return made
