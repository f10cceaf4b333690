"""Trees asked node by node say what LightGBM says, to the last bit."""

from functools import cache
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossfade.fusion.forest import MOST_LEAVES, Forest
from crossfade.types import Floats

N_COLUMNS = 4


def rows(n: int, missing: tuple[int, ...]) -> Floats:
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, N_COLUMNS)), 1).astype(np.float32)
    for column in missing:
        X[rng.random(n) < 0.2, column] = np.nan
    return X


@cache
def grown(
    n_trees: int = 12, leaves: int = 15, missing: tuple[int, ...] = (0, 1), **more: Any
) -> Any:
    """Trees of columns with values missing, which go left or right, and of columns without."""
    X = rows(900, missing)
    rng = np.random.default_rng(1)
    known = np.nan_to_num(X, nan=2.0)
    y = known[:, 0] * known[:, 2] - known[:, 1] + known[:, 3] + rng.normal(size=len(X))
    given = {"num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "seed": 3, **more}
    return lightgbm.train(given, lightgbm.Dataset(X, y), n_trees)


def nodes(booster: Any) -> list[dict[str, Any]]:
    found = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    for node in found:
        found += [node[side] for side in ("left_child", "right_child") if side in node]
    return [node for node in found if "split_feature" in node]


def same(booster: Any, X: Floats) -> None:
    forest = Forest.of(booster.dump_model())
    assert forest is not None
    np.testing.assert_array_equal(forest.predict(X), booster.predict(X))


SINGLE = st.floats(width=32) | st.sampled_from([np.nan, 0.0, -0.0, 1e-35, -1e-35, 1e-40, -1e-36])


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_value_goes_where_the_library_sends_it(data: st.DataObject) -> None:
    booster = grown()
    thresholds = [node["threshold"] for node in nodes(booster)]
    on = st.sampled_from(thresholds).map(np.float32)
    near = st.tuples(on, st.sampled_from([-np.inf, np.inf])).map(
        lambda of: np.nextafter(of[0], np.float32(of[1]))
    )
    n = data.draw(st.integers(1, 12))
    values = (on | near | SINGLE).map(float)
    same(booster, data.draw(arrays(np.float32, (n, N_COLUMNS), elements=values)))


def test_the_trees_hold_every_kind_of_question() -> None:
    kinds = {(node["missing_type"], node["default_left"]) for node in nodes(grown())}
    assert {("NaN", True), ("NaN", False)} < kinds
    assert {kind for kind, _ in kinds} == {"NaN", "None"}


@pytest.mark.parametrize("leaves", [2, 3, 31, MOST_LEAVES])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_any_number_of_rows_and_leaves(leaves: int, n: int) -> None:
    booster = grown(leaves=leaves)
    assert max(tree["num_leaves"] for tree in booster.dump_model()["tree_info"]) == leaves
    same(booster, rows(n, (0, 2)))


def test_what_a_row_gets_does_not_depend_on_the_others() -> None:
    forest = Forest.of(grown().dump_model())
    assert forest is not None
    X = rows(130, (0, 1))
    alone = [forest.predict(X[place : place + 1])[0] for place in range(len(X))]
    np.testing.assert_array_equal(forest.predict(X), alone)


def test_a_threshold_next_to_0_parts_as_in_the_library() -> None:
    X = rows(900, ())
    X[::2, 0] = 0.0  # zeros have a bin of their own, with thresholds at its edges
    booster = lightgbm.train(
        {"num_leaves": 8, "min_data_in_leaf": 5, "verbosity": -1},
        lightgbm.Dataset(X, (X[:, 0] == 0) + 0.1 * X[:, 1]),
        3,
    )
    assert any(abs(node["threshold"]) < 1e-30 for node in nodes(booster))
    near = np.array([0, -0.0, 1e-35, -1e-35, 1.1e-35, -1.1e-35, 1e-40, -1e-40], dtype=np.float32)
    asked = rows(len(near), ())
    asked[:, 0] = near
    same(booster, asked)


def test_trees_without_a_split_say_their_value() -> None:
    booster = grown(n_trees=2, min_gain_to_split=1e9)
    same(booster, rows(5, (0,)))
    forest = Forest.of(booster.dump_model())
    assert forest is not None
    assert len(forest.column) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"leaves": MOST_LEAVES + 1},
        {"zero_as_missing": True},
        {"linear_tree": True},
        {"categorical_feature": "3", "max_bin": 20},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ],
    ids=["leaves", "zeros", "lines", "categories", "forest"],
)
def test_other_trees_are_left_to_the_library(other: dict[str, Any]) -> None:
    given = dict(other)
    if "categorical_feature" in given:
        X = np.abs(np.nan_to_num(rows(900, ()) * 5)).astype(np.int32).astype(np.float32)
        y = (X[:, 3] % 3 == 0) * 5 + X[:, 0]
        data = lightgbm.Dataset(X, y, categorical_feature=[3])
        booster = lightgbm.train({"verbosity": -1, "min_data_in_leaf": 5}, data, 3)
        assert any(node["decision_type"] == "==" for node in nodes(booster))
    else:
        booster = grown(**given)
    assert Forest.of(booster.dump_model()) is None
