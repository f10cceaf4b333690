"""Which events count as wanted, and how much."""

import math
from typing import Literal

import numpy as np
import polars as pl

from crossfade.config import Field, Settings
from crossfade.data.schema import NEGATIVE_KINDS, SKIP


class Target(Settings):
    """The named event a recommender is asked to bring about.

    Explicit and implicit feedback become one thing here: a positive event has a
    strength above 0, any other event has strength 0 (seen, not wanted).
    """

    name: str = Field("engages", description="What a positive event is called in reports.")
    min_value: float | None = Field(
        None,
        description="A rating counts when it is at or above this; unset: ratings are not looked at.",
    )
    min_played_ms: int | None = Field(
        None,
        ge=0,
        description="A play counts when it lasted at least this long, where the length is known.",
    )
    skips_count: bool = Field(False, description="Whether a skipped play counts as positive.")
    strength: Literal["one", "value", "log_value"] = Field(
        "one",
        description="Strength of one positive event: 1, its value, or log(1 + value) (for play counts).",
    )

    def unmet(self, columns: list[str]) -> list[str]:
        """Rules that look at a column the events lack, as ``rule needs column``."""
        needs = {
            "value": [
                *(["min_value"] if self.min_value is not None else []),
                *([f'strength = "{self.strength}"'] if self.strength != "one" else []),
            ],
            "played_ms": ["min_played_ms"] if self.min_played_ms is not None else [],
        }
        return [
            f"{rule} needs {column}"
            for column, rules in needs.items()
            for rule in rules
            if column not in columns
        ]

    def of_event(
        self, kind: str | None, value: float | None, played_ms: int | None, *, skipped: bool | None
    ) -> float:
        """Strength of one event, as `expression` has it: a table costs more than a few events do.

        Args:
            kind: Of event; None where it is not said, as with the others.
            value: Its rating or count; NaN stands for None.
            played_ms: How long it was played.
            skipped: Whether it was skipped.
        """
        if kind in NEGATIVE_KINDS and not (kind == SKIP and self.skips_count):
            return 0.0
        rated = None if value is None or math.isnan(value) else np.float32(value)
        if rated is not None and self.min_value is not None and rated < np.float32(self.min_value):
            return 0.0
        least = self.min_played_ms
        if least is not None and played_ms is not None and played_ms < least:
            return 0.0
        if skipped and not self.skips_count:
            return 0.0
        if self.strength == "one":
            return 1.0
        amount = np.float32(1.0) if rated is None else max(rated, np.float32(0.0))
        return float(amount) if self.strength == "value" else math.log1p(amount)

    def expression(self, columns: list[str]) -> pl.Expr:
        """Strength of each event as a Float32 expression.

        Args:
            columns: The columns the events have; rules about absent ones do not apply.
        """
        wanted: pl.Expr = pl.lit(value=True)
        if "event" in columns:
            unwanted = [kind for kind in NEGATIVE_KINDS if kind != SKIP or not self.skips_count]
            wanted &= ~pl.col("event").is_in(unwanted).fill_null(value=False)
        value = pl.col("value").fill_nan(None)
        if "value" in columns and self.min_value is not None:
            # A row without a rating (a play, a save) is judged by the other rules.
            wanted &= (value >= self.min_value).fill_null(value=True)
        if "played_ms" in columns and self.min_played_ms is not None:
            wanted &= (pl.col("played_ms") >= self.min_played_ms).fill_null(value=True)
        if "skipped" in columns and not self.skips_count:
            wanted &= ~pl.col("skipped").fill_null(value=False)
        strength = pl.lit(1.0)
        if "value" in columns and self.strength != "one":
            # A rating below 0 is no evidence; log1p of it would be NaN, which sorts above everything.
            value = value.fill_null(1.0).clip(lower_bound=0.0)
            # In double precision, whose single digits are the same whoever takes the logarithm.
            logs = value.cast(pl.Float64).log1p()
            strength = value if self.strength == "value" else logs
        return pl.when(wanted).then(strength).otherwise(0.0).cast(pl.Float32).alias("strength")
