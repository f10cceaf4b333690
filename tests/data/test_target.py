import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import validate
from crossfade.data import Dataset, Target
from crossfade.data.schema import EVENT_COLUMNS
from crossfade.errors import ConfigError

NAN = math.nan


def strengths(target: Target, **columns: list[Any]) -> list[float]:
    n_events = len(next(iter(columns.values())))
    pairs = {"user_id": ["u"] * n_events, "item_id": ["i"] * n_events}
    data = Dataset.build(pl.DataFrame({**pairs, **columns}), target=target)
    assert data.events.schema["strength"] == pl.Float32
    return data.events["strength"].to_list()


def test_every_event_counts_one_where_nothing_speaks_against_it() -> None:
    assert strengths(Target(), event=["play", "like", "rating", None]) == [1, 1, 1, 1]


def test_dislikes_and_skips_are_seen_and_not_wanted() -> None:
    assert strengths(Target(), event=["play", "dislike", "skip", None]) == [1, 0, 0, 1]


def test_a_rating_counts_at_its_threshold_and_above() -> None:
    assert strengths(Target(min_value=4), value=[3.5, 4.0, 5.0]) == [0, 1, 1]


def test_ratings_are_not_looked_at_without_a_threshold() -> None:
    assert strengths(Target(), value=[1.0, 5.0]) == [1, 1]


@pytest.mark.parametrize("missing", [None, NAN])
def test_an_event_without_a_rating_is_judged_by_the_other_rules(missing: float | None) -> None:
    played: dict[str, list[Any]] = {
        "value": [missing, missing, 5.0],
        "skipped": [False, True, True],
    }
    assert strengths(Target(min_value=4), **played) == [1, 0, 0]


def test_a_play_counts_from_its_least_length_where_the_length_is_known() -> None:
    assert strengths(Target(min_played_ms=30_000), played_ms=[29_999, 30_000, None]) == [0, 1, 1]


def test_a_skip_counts_only_where_the_settings_say_so() -> None:
    skipped = [True, False, None]
    assert strengths(Target(), skipped=skipped) == [0, 1, 1]
    assert strengths(Target(skips_count=True), skipped=skipped) == [1, 1, 1]


def test_a_skip_is_a_skip_as_a_flag_or_as_a_kind_of_event() -> None:
    kinds = ["play", "dislike", "skip", None]
    assert strengths(Target(skips_count=True), event=kinds) == [1, 0, 1, 1]


@given(
    target=st.builds(
        Target,
        min_value=st.none() | st.floats(0, 5, width=32),
        min_played_ms=st.none() | st.integers(0, 100),
        skips_count=st.booleans(),
        strength=st.sampled_from(["one", "value", "log_value"]),
    ),
    kind=st.none() | st.sampled_from(["play", "like", "dislike", "skip"]),
    value=st.none() | st.just(NAN) | st.floats(-2, 5, width=32) | st.floats(0, 2**20, width=32),
    played_ms=st.none() | st.integers(0, 200),
    skipped=st.none() | st.booleans(),
)
def test_of_one_event_is_said_what_a_table_of_it_says(
    target: Target, kind: str, value: float | None, played_ms: int | None, skipped: bool | None
) -> None:
    says = {"event": [kind], "value": [value], "played_ms": [played_ms], "skipped": [skipped]}
    schema = {name: EVENT_COLUMNS[name] for name in says}
    table = pl.DataFrame(says, schema).select(target.expression(list(says))).to_series()
    found = target.of_event(kind, value, played_ms, skipped=skipped)
    assert np.float32(found) == np.float32(table[0])


def test_all_rules_must_agree() -> None:
    target = Target(min_value=4, min_played_ms=1000)
    columns: dict[str, list[Any]] = {
        "value": [5.0, 5.0, 5.0, 1.0],
        "played_ms": [1000, 999, 1000, 1000],
        "skipped": [False, False, True, False],
    }
    assert strengths(target, **columns) == [1, 0, 0, 0]


def test_strength_may_be_the_value() -> None:
    assert strengths(Target(strength="value"), value=[3.0, 0.5, None]) == [3.0, 0.5, 1.0]


def test_strength_may_be_the_logarithm_of_one_plus_the_value() -> None:
    assert strengths(Target(strength="log_value"), value=[math.e - 1, 0.0]) == pytest.approx([1, 0])


@pytest.mark.parametrize("strength", ["value", "log_value"])
@pytest.mark.parametrize("value", [-0.5, -1.0, -3.0, 0.0])
def test_a_value_that_is_no_evidence_is_no_strength(strength: str, value: float) -> None:
    # log(1 − 1) is −∞ and log(1 − 3) is NaN; neither may reach a sum.
    target = validate(Target, {"strength": strength}, "test")
    assert strengths(target, value=[value]) == [0]


@pytest.mark.parametrize("strength", ["one", "value", "log_value"])
def test_a_rating_that_is_no_number_is_a_missing_one(strength: str) -> None:
    target = validate(Target, {"strength": strength, "min_value": 1}, "test")
    assert strengths(target, value=[NAN]) == strengths(target, value=[None, 2.0])[:1]


def test_a_wrong_rule_is_named() -> None:
    with pytest.raises(ConfigError, match=r"min_played_ms .* got -1"):
        Target(min_played_ms=-1)
