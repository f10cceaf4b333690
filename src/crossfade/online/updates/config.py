"""Settings of updates from the log: how a candidate is judged, and when it is promoted."""

from crossfade.config import Field, Settings


class AdaptConfig(Settings):
    """How `crossfade adapt` makes, judges and promotes a version."""

    full_every_days: float = Field(
        30,
        gt=0,
        description="With `--mode auto`: fit in full where the last full fit is older than this, weekly otherwise.",
    )
    judged_share: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Newest share of the time since the promoted version that a judged candidate does not learn.",
    )
    n_requests: int = Field(
        2_000, ge=1, description="Most requests of the newest events that are judged."
    )
    n_replayed: int = Field(
        500,
        ge=1,
        description="Requests of the older log that are asked again, to see what is forgotten.",
    )
    depth: int = Field(10, ge=1, description="Length of the lists; NDCG is taken of all of it.")
    least_users: int = Field(
        50, ge=2, description="Fewest people with newest events for a candidate to be promoted."
    )
    new_loss: float = Field(
        0.1,
        ge=0,
        description="What may be lost on the newest events, as a share of the promoted version's NDCG: the lower "
        "end of the interval of the paired difference must not be below it, neither over all people nor over those "
        "whom the promoted version knows.",
    )
    old_loss: float = Field(
        0.3,
        ge=0,
        description="What may be lost on replayed requests, as a share of the promoted version's NDCG. Wide, "
        "because that version learned their outcomes with less beside them: this is to notice a collapse.",
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws of people for intervals.")
    level: float = Field(0.95, gt=0, lt=1, description="Confidence level of intervals.")
