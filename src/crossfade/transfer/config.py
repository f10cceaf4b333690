"""Everything that can be set about carrying a blend into a new domain."""

from typing import Any

from crossfade.config import Field, Settings

BASES: dict[str, dict[str, Any]] = {
    "popularity": {"model": "popularity", "half_life_days": None},
    "item_knn": {"model": "item_knn"},
    "ials": {"model": "ials"},
    "nmf": {"model": "nmf"},
    "content_knn": {"model": "content_knn"},
    "genre_popularity": {"model": "genre_popularity"},
}
"""Bases that say something of fifty events and of ten thousand, in any domain."""


class TransferConfig(Settings):
    """How a source is learned from, and how a target is judged."""

    bases: dict[str, dict[str, Any]] = Field(
        BASES,
        min_length=1,
        description="Base recommenders by label, fitted in every domain; what is carried is how to blend them, so "
        "a source and a target must have the same.",
    )
    n_candidates: int = Field(
        100, ge=1, description="Items each base proposes to a candidate list."
    )
    users: tuple[int, ...] = Field(
        (50, 200, 1000),
        min_length=1,
        description="Sizes of the small domains that are drawn from a source, in people.",
    )
    shots: tuple[int, ...] = Field(
        (1, 3, 5, 10), min_length=1, description="Events that each person of such a domain has."
    )
    n_rounds: int = Field(
        4,
        ge=1,
        description="Small domains drawn of each size and number of events; every other one mixes up what items "
        "are about or hides it, as domains differ in what content is worth.",
    )
    n_requests: int = Field(
        200, ge=10, description="Requests that judge what was learned in a small domain."
    )
    n_lists: int = Field(
        60, ge=10, description="Lists of a small domain that one step of learning looks at."
    )
    n_epochs: int = Field(150, ge=1, description="Steps of learning over a source.")
    rate: float = Field(0.05, gt=0, description="Step size of learning.")
    decay: float = Field(
        1e-3,
        ge=0,
        description="Pull towards 0 of what ties parameters to facts about a domain.",
    )
    pull: float = Field(
        10.0,
        ge=0,
        description="Pull of what a target learns back to what was carried; of pull 10, ten lists weigh as much "
        "as one unit of distance.",
    )
    n_steps: int = Field(40, ge=1, description="Steps a target takes from what was carried.")
    inner_steps: int = Field(
        3, ge=1, description="Steps of the inner loop of model-agnostic meta-learning."
    )
    n_prototypes: int = Field(12, ge=1, description="Prototypes kept of a source.")
    n_folds: int = Field(
        5, ge=2, description="Parts of a target's lists by which the choices are judged in turn."
    )
    usual_gain: float = Field(
        0.1,
        gt=0,
        description="By how many nats per list carrying usually helps or harms (standard deviation): what a "
        "target's lists say of its gain is drawn towards none the more, the less sure they are against this.",
    )
