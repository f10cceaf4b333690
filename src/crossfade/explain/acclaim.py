"""When ratings are many and good enough to speak of."""

from dataclasses import dataclass
from typing import Self

from pydantic import model_validator

from crossfade.config import Field, Settings


class AcclaimConfig(Settings):
    """What counts as acclaim; the figures of the source document."""

    min_rating: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Ratings speak for an item above this share of the way from the lowest to the highest.",
    )
    some: int = Field(100, ge=1, description="Ratings from which an item may be called well rated.")
    many: int = Field(
        200, ge=1, description="Ratings from which people are said to agree that it is good."
    )
    most: int = Field(500, ge=1, description="Ratings from which it is called widely acclaimed.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.some <= self.many <= self.most:
            raise ValueError(
                f"some, many and most must not fall, got {self.some}, {self.many} and {self.most}"
            )
        return self


@dataclass(frozen=True)
class Acclaim:
    """Ratings of one item as of the request.

    Attributes:
        rating: Mean rating as a share of the way from the lowest rating of anything to the
            highest, as in `features.acclaim`; NaN without ratings.
        n_ratings: How many.
    """

    rating: float
    n_ratings: int


UNRATED = Acclaim(float("nan"), 0)


def acclaim_level(ratings: Acclaim, config: AcclaimConfig) -> str | None:
    """``well_rated``, ``agreed`` or ``acclaimed``; None where ratings are too low or too few."""
    if not ratings.rating > config.min_rating or ratings.n_ratings < config.some:
        return None
    if ratings.n_ratings >= config.most:
        return "acclaimed"
    return "agreed" if ratings.n_ratings >= config.many else "well_rated"
