"""The data dictionary: what each feature is called, means, is measured in and when it is missing.

Tests check the numbers against it, the reference page is made from it, and the scaler
reads from it which features are heavy-tailed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        name: Column name.
        formula: What is computed, in words.
        unit: What it is measured in.
        window: Which part of the past it looks at; always strictly before ``as_of``.
        low: Smallest possible value.
        high: Largest possible value, infinity where there is no bound.
        missing: When it is NaN.
        heavy_tailed: Whether model input takes its logarithm first.
    """

    name: str
    formula: str
    unit: str
    window: str
    low: float
    high: float
    missing: str
    heavy_tailed: bool = False


_ALL = "whole history"
_NO_PLAYS = "no plays"
_NO_TIMES = "no plays, or data without times"

SESSION_FEATURES: tuple[Feature, ...] = (
    Feature(
        "total_sessions", "number of different sessions", "sessions", _ALL, 0, inf,
        "there are plays but none belongs to a known session", heavy_tailed=True,
    ),
    Feature(
        "avg_session_length",
        "mean over sessions of the longer of two spans: first to last timestamp, and the summed "
        "length of its plays (an unknown length counts nothing)",
        "minutes", _ALL, 0, inf, "no known session, or data without times", heavy_tailed=True,
    ),
    Feature(
        "discovery_rate_per_active_week",
        "different items played / ISO weeks (UTC) with a play",
        "items per active week", _ALL, 0, inf, _NO_TIMES, heavy_tailed=True,
    ),
    Feature(
        "exploration_score",
        "share of plays that are the user's first of that item ever",
        "share", "the last `recent_days` (28) before as_of", 0, 1,
        "no play in the window, or data without times",
    ),
    Feature(
        "novelty_seeking",
        "share of the different items played that lie in the long tail: outside the smallest set "
        "of items that took `head_share` (80 %) of the base block's plays; items the base block "
        "never saw lie in the tail",
        "share", _ALL, 0, 1, _NO_PLAYS,
    ),
    Feature("repeat_rate", "share of plays of an item the user had played before", "share", _ALL, 0, 1, _NO_PLAYS),
    Feature(
        "skip_rate", "share of plays that were skipped, among plays where that is known",
        "share", _ALL, 0, 1, "no play says whether it was skipped",
    ),
    Feature(
        "genre_diversity",
        "Shannon entropy of the genres played; a play counts once for each genre of its item",
        "bits", _ALL, 0, inf, "no played item has a genre",
    ),
    Feature(
        "temporal_consistency",
        "mean resultant length of the times of day on a 24-hour circle: 1 always the same time, "
        "0 spread around the clock; a change of time zone does not alter it",
        "circular concentration", _ALL, 0, 1, "fewer than two plays, or data without times",
    ),
    Feature(
        "mainstream_score",
        "mean over plays of the item's popularity percentile in the base block, among plays of "
        "items the base block knows",
        "percentile / 100", _ALL, 0, 1, "no play of an item the base block knows",
    ),
    Feature(
        "early_adopter_score",
        "share of first plays of an item that fall within `early_days` (30) of its birth, among "
        "first plays of items with a known birth not after the play; birth is the release date, "
        "else the first play in the base block if that began at least `early_days` before it",
        "share", _ALL, 0, 1, "no such first play, or data without times",
    ),
    Feature(
        "plays_per_day", "plays / days from the first play to as_of, at least one day",
        "plays per day", _ALL, 0, inf, _NO_TIMES, heavy_tailed=True,
    ),
    Feature(
        "active_days", "number of UTC days with a play", "days", _ALL, 0, inf,
        "there are plays but the data has no times", heavy_tailed=True,
    ),
    Feature(
        "longest_streak_percentile",
        "mid-rank of the longest run of consecutive active days among the base block's users",
        "percentile / 100", _ALL, 0, 1, _NO_TIMES,
    ),
    Feature(
        "session_density", "sessions / active days", "sessions per active day", _ALL, 0, inf,
        "no known session, or data without times", heavy_tailed=True,
    ),
    Feature(
        "listening_intensity",
        "mean known length of a play × plays / active days",
        "minutes per active day", _ALL, 0, inf,
        "no play with a known length, or data without times", heavy_tailed=True,
    ),
    Feature(
        "user_type_explorer",
        "1 where repeat_rate lies below the `explorer_quantile` (25 %) of the base block's users "
        "with at least `min_plays_for_type` (20) plays, else 0",
        "flag", _ALL, 0, 1, "fewer than `min_plays_for_type` plays, or a base block without such users",
    ),
    Feature(
        "user_type_loyalist",
        "1 where repeat_rate lies above the `loyalist_quantile` (75 %) of the base block's users "
        "with at least `min_plays_for_type` (20) plays, else 0",
        "flag", _ALL, 0, 1, "fewer than `min_plays_for_type` plays, or a base block without such users",
    ),
)  # fmt: skip

_CLOCK = "the moment as_of"
_UNTIMED = "no as_of"
TEMPORAL_FEATURES: tuple[Feature, ...] = (
    Feature("hour_sin", "sine of the time of day on a 24-hour circle", "none", _CLOCK, -1, 1, _UNTIMED),
    Feature("hour_cos", "cosine of the same angle", "none", _CLOCK, -1, 1, _UNTIMED),
    Feature("weekday_sin", "sine of the time since Monday on a 7-day circle", "none", _CLOCK, -1, 1, _UNTIMED),
    Feature("weekday_cos", "cosine of the same angle", "none", _CLOCK, -1, 1, _UNTIMED),
    Feature(
        "season_sin", "sine of the time since 1 January on a circle of that year's length",
        "none", _CLOCK, -1, 1, _UNTIMED,
    ),
    Feature("season_cos", "cosine of the same angle", "none", _CLOCK, -1, 1, _UNTIMED),
    Feature(
        "recency", "log(1 + days since the user's last event)", "log days",
        "the last event before as_of", 0, inf, "no as_of, or no earlier event",
    ),
)  # fmt: skip

SESSION_FEATURE_NAMES = tuple(feature.name for feature in SESSION_FEATURES)
TEMPORAL_FEATURE_NAMES = tuple(feature.name for feature in TEMPORAL_FEATURES)


def markdown() -> str:
    """The reference page of all features, ready to be written to ``docs/``."""
    return "\n".join(
        [
            "# Session features and temporal context",
            "",
            "This page is made from the data dictionary in `crossfade.features.dictionary`; "
            "a test compares the two.",
            "",
            "Every value is as of a time: it looks at events strictly before `as_of` only. An event is "
            "known, whole, from its timestamp on. Every event of the log counts as a play. Missing is NaN. "
            "Names in code type with a number in brackets are settings with their default. "
            "Popularity, births, streaks and user types are measured on the base block alone and "
            "kept in `SessionReference`. User types are thresholded copies of `repeat_rate`: good for "
            "slices of a report, of no use as a model input beside it.",
            "",
            "## The 18 session features",
            "",
            *table(SESSION_FEATURES),
            "",
            "A session is the session id of the data; without ids it ends when the user is idle for "
            "longer than 30 minutes (a setting of the import).",
            "",
            "## Temporal context",
            "",
            "Times are UTC.",
            "",
            *table(TEMPORAL_FEATURES),
            "",
        ]
    )


def table(features: Sequence[Feature]) -> list[str]:
    """Markdown lines of a table of features."""
    lines = [
        "| name | formula | unit | window | range | missing (NaN) | log in model input |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for x in features:
        low, high = ("…" if isinf(bound) else f"{bound:g}" for bound in (x.low, x.high))
        log = "yes" if x.heavy_tailed else "no"
        lines.append(
            f"| `{x.name}` | {x.formula} | {x.unit} | {x.window} | {low} to {high} | {x.missing} | {log} |"
        )
    return lines
