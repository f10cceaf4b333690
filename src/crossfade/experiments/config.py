"""Settings of an A/B experiment: who takes part, what each arm changes, and what is looked at."""

from typing import Any, Literal, Self

from pydantic import field_serializer, field_validator, model_validator

from crossfade.config import Field, Settings
from crossfade.data.target import Target
from crossfade.experiments.assignment import BUCKETS, shares
from crossfade.ranking import RankingConfig

Metric = Literal["wanted", "wanted_any", "click_share", "skip_share", "value"]

MOST_ARMS = 10

NAME = r"^[A-Za-z0-9_.-]{1,64}$"
"""Names stand in addresses, tables and file names."""


class Arm(Settings):
    """One way to answer; the first arm of an experiment is what the others are compared with."""

    name: str = Field(pattern=NAME, description="Its name, of letters, digits, `_`, `.` and `-`.")
    weight: float = Field(
        1.0, gt=0, le=1e6, description="Its part of those who take part, relative to other arms."
    )
    ranking: RankingConfig = Field(
        RankingConfig(),
        description="Settings of `[ranking]` that it changes; those not named stay as the system has them.",
    )

    version: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Version of the registry that answers it to the end; left out, whichever serves.",
    )
    adapt: bool | None = Field(
        None,
        description="Whether its lists adapt to each person's reactions; left out, as the service says.",
    )

    @property
    def changes(self) -> dict[str, Any]:
        """The settings of a list that it changes, by name."""
        return self.ranking.model_dump(exclude_unset=True)

    @property
    def told(self) -> dict[str, Any]:
        """All that it changes, by name."""
        own = {"version": self.version, "adapt": self.adapt}
        return {name: value for name, value in own.items() if value is not None} | self.changes

    @field_serializer("ranking")
    def _only_what_is_said(self, ranking: RankingConfig) -> dict[str, Any]:
        return ranking.model_dump(mode="json", exclude_unset=True)


class Experiment(Settings):
    """An A/B experiment, fixed before anybody takes part in it; only its traffic may grow."""

    name: str = Field(pattern=NAME, description="Its name, given once: it decides who is where.")
    arms: tuple[Arm, ...] = Field(description=f"Two to {MOST_ARMS}; the first is the control.")
    design: Literal["between", "interleaved"] = Field(
        "between",
        description="`between`: each unit is in one arm. `interleaved`: two arms take turns to put items into each "
        "list, and what becomes of an item counts for the arm that put it there.",
    )
    traffic: float = Field(
        1.0,
        ge=1 / BUCKETS,
        le=1,
        description="Share of all units that take part from the start.",
    )
    unit: Literal["user", "session"] = Field(
        "user", description="Who is put into an arm as a whole, and counted once."
    )
    metric: Metric = Field(
        "wanted",
        description="What is averaged over a unit's lists. Of one list: `wanted`: its wanted events; `wanted_any`: "
        "1 where there was one; `click_share`: share of its items with an event that is neither skip nor dislike; "
        "`skip_share`: share of its items that were skipped; `value`: sum of the values of its events.",
    )
    minimal_effect: float = Field(
        gt=0, description="Smallest difference of the metric that would matter, in its own unit."
    )
    planned: int = Field(
        ge=2, description="Units that are expected to count in the end, in all arms together."
    )
    alpha: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Chance to call any arm better or worse that is not, however often one looks.",
    )
    days: float = Field(
        7.0,
        ge=0,
        le=366,
        description="How long a unit is watched from its first list on; after that it counts, once and for good.",
    )
    window_hours: float = Field(
        24.0, gt=0, le=8784, description="How long after a list an event may still react to it."
    )
    before_days: float = Field(
        14.0,
        ge=0,
        le=366,
        description="How far back lists from before the start are looked at, to tell units apart "
        "that differed already; 0 does not look.",
    )
    target: Target = Field(Target(), description="Which events are wanted.")

    @property
    def versions(self) -> list[str]:
        """Those that its arms ask for, sorted."""
        return sorted({arm.version for arm in self.arms if arm.version is not None})

    @field_validator("arms")
    @classmethod
    def _arms_can_be_told_apart(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        if not 2 <= len(arms) <= MOST_ARMS:
            raise ValueError(f"there must be 2 to {MOST_ARMS}, got {len(arms)}")
        names = [arm.name for arm in arms]
        faults = [
            f'{names.count(name)} arms are called "{name}"; give each a name of its own'
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        faults += [
            f'arm "{arm.name}" would get less than one of {BUCKETS:,} units; give it more weight'
            for arm, share in zip(arms, shares([arm.weight for arm in arms]), strict=True)
            if share == 0
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return arms

    @model_validator(mode="after")
    def _arms_can_be_interleaved(self) -> Self:
        if self.design == "between":
            return self
        if len(self.arms) != 2 or self.arms[0].weight != self.arms[1].weight:
            raise ValueError("interleaved are two arms of the same weight")
        if any(arm.ranking.explore for arm in self.arms):
            raise ValueError("interleaved arms leave no places to chance: leave explore out")
        one, other = self.arms
        if one.version != other.version and {one.adapt, other.adapt} != {False}:
            raise ValueError(
                "what is learned of a person belongs to one version: interleave two with adapt = false in both"
            )
        return self
