"""Settings of a monitor."""

from crossfade.config import Field, Settings
from crossfade.monitoring.alerts import RULES, Rule
from crossfade.types import MICROSECONDS_PER_DAY


class MonitorConfig(Settings):
    """What a monitor looks at, and how much of it."""

    reference_windows: int = Field(
        8,
        ge=2,
        description="Stretches at the end of the version's own log, each as long as the one that is looked at: "
        "they say what is usual.",
    )
    reference_lists: int = Field(
        60,
        ge=1,
        description="Lists made for each of them: of so many people, at one of their events.",
    )
    max_lists: int = Field(
        20_000, ge=1, description="More lists than these are sampled down, by request id."
    )
    attribution_hours: float = Field(
        24.0,
        gt=0,
        description="Within so many hours an item of a list may be wanted; younger lists have no outcome yet.",
    )
    recall_lists: int = Field(
        200, ge=0, description="Lists whose candidates are made again, to see what they hold."
    )
    concept_days: float = Field(
        28.0,
        gt=0,
        description="How far back losses of lists are followed, day by day, as long as the version serves: a "
        "change of their mean is looked for.",
    )
    concept_delta: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="At most this share of days find a change of the mean loss where there is none; far fewer do.",
    )
    overlap_items: int = Field(500, ge=1, description="Items whose neighbours are compared.")
    neighbours: int = Field(10, ge=1, description="Neighbours of each.")
    resamples: int = Field(300, ge=1, description="Draws of all people behind each interval.")
    false_alarms: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of reports in which some measure passes what is usual by chance alone: the more "
        "measures are judged, the further each has to go.",
    )
    rules: tuple[Rule, ...] = Field(
        RULES, description="What is an alert; a list here takes the place of all."
    )

    @property
    def horizon_us(self) -> int:
        """How long an outcome may take."""
        return round(self.attribution_hours * MICROSECONDS_PER_DAY / 24)
