"""Shapley values by leaves are those that LightGBM computes by walking its trees."""

from itertools import combinations
from math import factorial
from typing import Any

import lightgbm
import numpy as np
import pytest

from crossfade.fusion import trees
from crossfade.fusion.trees import LeafAccount
from crossfade.types import Floats


def grown(X: Floats, *, leaves: int = 15, n_trees: int = 20, **more: Any) -> Any:
    rng = np.random.default_rng(1)
    y = (
        np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1])
        + np.isnan(X[:, 2])
        + rng.normal(size=len(X))
    )
    settings = {"num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "seed": 3, **more}
    return lightgbm.train(settings, lightgbm.Dataset(X, y), n_trees)


def rows(n: int, share_missing: float) -> Floats:
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, 6)), 1).astype(np.float32)
    X[rng.random(X.shape) < share_missing] = np.nan
    return X


@pytest.mark.parametrize("share_missing", [0.0, 0.2])
@pytest.mark.parametrize("leaves", [2, 4, 15])
def test_they_are_those_of_the_library(share_missing: float, leaves: int) -> None:
    X = rows(800, share_missing)
    booster = grown(X, leaves=leaves)
    account = LeafAccount.of(booster.dump_model())
    assert account is not None
    asked = rows(50, 0.3)  # values missing that never were when the trees were grown, too
    np.testing.assert_allclose(
        account.shapley(asked), booster.predict(asked, pred_contrib=True), rtol=1e-6, atol=1e-9
    )


def test_rows_add_up_to_the_scores() -> None:
    X = rows(600, 0.1)
    booster = grown(X)
    account = LeafAccount.of(booster.dump_model())
    assert account is not None
    np.testing.assert_allclose(account.shapley(X).sum(axis=1), booster.predict(X), rtol=1e-9)


def test_one_leaf_by_the_definition_of_shapley() -> None:
    # One tree, one path of two columns: 3 of 4 rows go left on column 0, 1 of 3 then left on column 1.
    leaf = {"leaf_value": 6.0, "leaf_count": 1}
    rest = {"leaf_value": 0.0, "leaf_count": 2}
    plain = {"decision_type": "<=", "missing_type": "NaN", "default_left": True, "threshold": 0.5}
    inner = {
        **plain,
        "split_feature": 1,
        "internal_count": 3,
        "left_child": leaf,
        "right_child": rest,
    }
    other = {"leaf_value": 0.0, "leaf_count": 1}
    root = {
        **plain,
        "split_feature": 0,
        "internal_count": 4,
        "left_child": inner,
        "right_child": other,
    }
    account = LeafAccount.of({"tree_info": [{"tree_structure": root}]})
    assert account is not None
    share = {0: 3 / 4, 1: 1 / 3}
    for x in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [np.nan, 1.0]):
        met = {c: not (x[c] > 0.5) for c in (0, 1)}

        def worth(known: tuple[int, ...], met: dict[int, bool] = met) -> float:
            return 6.0 * float(np.prod([met[c] if c in known else share[c] for c in (0, 1)]))

        expected = [
            sum(
                factorial(size) * factorial(1 - size) / 2 * (worth((*others, c)) - worth(others))
                for size in (0, 1)
                for others in combinations([1 - c], size)
            )
            for c in (0, 1)
        ]
        found = account.shapley(np.array([x], dtype=np.float32))[0]
        np.testing.assert_allclose(found, [*expected, 6.0 * 1 / 4])


def test_a_path_that_is_too_long_is_left_to_the_library() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 14)).astype(np.float32)
    y = X.prod(axis=1)
    settings = {"num_leaves": 200, "max_depth": -1, "min_data_in_leaf": 1, "verbosity": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(X, y), 3)
    assert LeafAccount.of(booster.dump_model()) is None


def test_more_than_memory_should_hold_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = grown(rows(400, 0.1)).dump_model()
    account = LeafAccount.of(model)
    assert account is not None
    monkeypatch.setattr(trees, "MOST_NUMBERS", len(account.table))
    assert LeafAccount.of(model) is not None
    monkeypatch.setattr(trees, "MOST_NUMBERS", len(account.table) - 1)
    assert LeafAccount.of(model) is None


def test_where_zero_means_missing_the_library_is_asked() -> None:
    X = rows(400, 0.1)
    X[::3, 0] = 0
    assert LeafAccount.of(grown(X, zero_as_missing=True).dump_model()) is None


def test_a_model_without_a_split_says_its_mean() -> None:
    X = rows(100, 0.0)
    booster = grown(X, n_trees=1, min_gain_to_split=1e9)
    account = LeafAccount.of(booster.dump_model())
    assert account is not None
    np.testing.assert_allclose(account.shapley(X)[:, :-1], 0)
    np.testing.assert_allclose(account.shapley(X)[:, -1], booster.predict(X))
