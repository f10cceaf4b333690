"""Wrong input is one clear error that names everything wrong with it."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from tests.ranking.lists import catalogue, rows, scored

from crossfade.errors import ConfigError, DataError
from crossfade.ranking import Candidates, Conditions, RankingConfig, rank

NAN, INF = np.nan, np.inf
ITEMS = catalogue(["a", "b"], [["x"], ["y"]])


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "k must be 1 or more, got 0"),
        (-3, "k must be 1 or more, got -3"),
        (2.0, r"k must be a whole number of items, got 2\.0"),
        (True, "k must be a whole number of items, got True"),
        ("5", "k must be a whole number of items, got '5'"),
        (None, "k must be a whole number of items, got None"),
    ],
)
def test_a_wrong_k_is_refused(k: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        rank(scored(1, 2), ITEMS, k)


def test_a_numpy_integer_is_a_k() -> None:
    assert rank(scored(1, 2), ITEMS, np.int64(1)).item_row.tolist() == [1]  # type: ignore[arg-type]


def test_everything_wrong_with_a_call_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        rank(
            scored(1, 2),
            ITEMS,
            0,
            config=RankingConfig(explore=0.5),
            conditions=Conditions(history=np.array([1.0])),
        )
    assert str(caught.value) == (
        "k must be 1 or more, got 0; explore = 0.5 draws items by chance and needs rng; pass a generator or set "
        "explore = 0; history has 1 shares, the catalogue 2 genres; take its genre_shares"
    )


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(ConfigError, match="rng must be a numpy Generator, got 7"):
        rank(scored(1, 2), ITEMS, 1, rng=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"item_row": [0, 1]},
            r"item_row must be an array of item rows, shape \(n,\), got \[0, 1\]",
        ),
        ({"item_row": np.array([0.0, 1.0])}, "item_row must be .* got float64 of shape"),
        ({"item_row": rows(0, -1)}, "item_row must hold item rows, 0 or more, got -1"),
        ({"item_row": rows(1, 1)}, "item row 1 stands there more than once"),
        ({"score": np.array([1.0, INF])}, "score of item row 1 is infinite; mend it"),
        ({"score": np.array([-INF, 0.0])}, "score of item row 0 is infinite"),
        ({"score": np.array([1.0])}, r"score must be one float each, shape \(2,\), got .*\(1,\)"),
        ({"score": np.array([1, 2])}, "score must be one float each, .* got int64"),
        ({"score": None}, "score must be one float each, .* got None"),
        ({"probability": np.array([0.5, 1.5])}, r"probability must lie in \[0, 1\], got 1\.5"),
        ({"probability": [0.5, 0.5]}, r"probability must be one float each, .* got \[0\.5, 0\.5\]"),
        ({"uncertainty": np.array([0.5, -0.5])}, r"uncertainty must lie in \[0, inf\], got -0\.5"),
        ({"uncertainty": np.array([0.5, INF])}, "uncertainty of item row 1 is infinite"),
        ({"vectors": np.ones(2)}, r"vectors must be floats, shape \(2, width\), got"),
        ({"vectors": np.ones((3, 2))}, r"vectors must be floats, .* got float64 of shape \(3, 2\)"),
        ({"vectors": np.array([[0.0], [INF]])}, "the vector of item row 1 is infinite"),
    ],
)
def test_wrong_candidates_are_named(arrays: dict[str, Any], message: str) -> None:
    good = {"item_row": rows(0, 1), "score": np.array([1.0, NAN])}
    with pytest.raises(DataError, match=f"^candidates: {message}"):
        Candidates(**{**good, **arrays})


def test_all_that_is_wrong_with_candidates_is_said_at_once() -> None:
    with pytest.raises(DataError, match=r"more than once.*infinite.*probability must lie in"):
        Candidates(rows(3, 3), np.array([INF, 0.0]), probability=np.array([2.0, 0.0]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seen": [1, 2]}, r"seen must be an array of item rows, shape \(n,\), got \[1, 2\]"),
        ({"block": {"a"}}, "block must be an array of item rows"),
        ({"block": rows(-2)}, "block must hold item rows, -1 or more, got -2"),
        ({"allow": np.array(["a"])}, "allow must be an array of item rows"),
        ({"rules": "year > 3"}, "rules must be a tuple of texts, got 'year > 3'"),
        ({"rules": (3,)}, r"rules must be a tuple of texts, got \(3,\)"),
        ({"as_of_us": datetime(2024, 1, 1)}, "as_of_us must be whole microseconds .*to_us turns"),
        ({"as_of_us": 1.5}, "as_of_us must be whole microseconds"),
        ({"as_of_us": True}, "as_of_us must be whole microseconds"),
        ({"history": np.array([0.2, 0.2])}, r"history must hold .* got .* with sum 0\.4; Ranking"),
        ({"history": np.array([1.5, -0.5])}, "history must hold a share"),
        ({"history": np.array([NAN, 1.0])}, "history must hold a share"),
        ({"history": {"x": 1.0}}, "history must hold a share"),
        ({"seen": 3, "rules": 4}, "seen must be .*; rules must be"),
    ],
)
def test_wrong_conditions_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^conditions: {message}"):
        Conditions(**given)


def test_rows_of_another_catalogue_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        rank(scored(1, 2, 3), ITEMS, 1, conditions=Conditions(seen=rows(9), allow=rows(1)))
    assert str(caught.value) == (
        "candidates holds item row 2, seen holds item row 9, but the catalogue's rows are 0 … 1; "
        "take rows of the same data set"
    )


def test_diversity_needs_something_to_go_by() -> None:
    with pytest.raises(ConfigError, match="diversity needs item vectors or genres"):
        rank(scored(1, 2), catalogue(["a", "b"]), 1, config=RankingConfig(diversity=0.1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_per_creator": -1}, "max_per_creator should be greater than or equal to 0, got -1"),
        ({"max_genre_share": 0}, "max_genre_share should be greater than 0, got 0"),
        ({"diversity": 1.1}, "diversity should be less than or equal to 1"),
        ({"diversity": NAN}, "diversity should be a finite number"),
        ({"min_probability": 1}, "min_probability should be less than 1"),
        ({"diversify": "random"}, "diversify should be 'mmr' or 'dpp'"),
        ({"relax": ("max_per_creator",) * 2}, "relax: names a limit twice, got max_per_creator"),
        ({"relax": ("seen",)}, "relax.0 should be 'max_genre_share'"),
        ({"artist_cap": 3}, "artist_cap is not a setting"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RankingConfig(**values)
