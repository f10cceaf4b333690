from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Other
from sklearn.preprocessing import StandardScaler
from tests.fusion.problem import NAN, plain, problem

from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.fwls import FWLS, FWLSConfig
from crossfade.fusion.matrix import Normal, normal_equations, quality, ridge
from crossfade.fusion.ridge import Ridge, RidgeConfig, score_columns
from crossfade.types import Doubles


def regressed(X: Any, y: Any, penalty: float) -> Any:
    """scikit-learn's predictions with the penalty per row, on columns of unit variance."""
    unit = StandardScaler().fit(X)
    other = Other(alpha=penalty * len(X)).fit(unit.transform(X), y)
    return lambda more: other.predict(unit.transform(more))


def stacked(columns: Iterator[Doubles], rows: Any) -> Any:
    return np.stack(list(columns), axis=-1)[rows]


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_ridge_equals_scikit_learn(penalty: float) -> None:
    train, test = problem(0, n=60), problem(2)
    model = Ridge(RidgeConfig(penalties=(penalty,))).fit(train, problem(1))
    here, there = (x.signals.available.any(axis=-1) for x in (train, test))
    predict = regressed(stacked(score_columns(train.signals), here), train.relevant[here], penalty)
    expected = predict(stacked(score_columns(test.signals), there))
    np.testing.assert_allclose(model.forward(test.signals).score[there], expected, atol=1e-5)


def test_the_penalty_of_a_lone_feature_does_what_it_says() -> None:
    # Penalty 1 halves the coefficient; the intercept keeps the mean.
    x = np.array([-1.0, 1.0, -1.0, 1.0])
    y = np.array([0.0, 1.0, 0.0, 1.0])
    X = np.column_stack([np.ones(4), x])
    normal = Normal(X.T @ X / 4, X.T @ y / 4)
    np.testing.assert_allclose(ridge(normal, 1e-9), [0.5, 0.5])
    np.testing.assert_allclose(ridge(normal, 1.0), [0.5, 0.25])


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_a_constant_and_a_doubled_column_do_no_harm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=30)

    def solved(columns: Any) -> Doubles:
        X = np.column_stack([np.ones(30), columns])
        return ridge(Normal(X.T @ X / 30, X.T @ y / 30), 0.5)

    with_constant = solved(np.column_stack([x, np.full(30, 3.7)]))
    np.testing.assert_allclose(with_constant[:3], solved(x), atol=1e-9)
    assert with_constant[3] == 0
    doubled = solved(np.column_stack([x, x[:, 0]]))
    assert doubled[1] == pytest.approx(doubled[3])


def test_sums_in_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = normal_equations(problem(0), score_columns)
    monkeypatch.setattr("crossfade.fusion.matrix.ROWS_AT_ONCE", 30)
    pieces = normal_equations(problem(0), score_columns)
    np.testing.assert_allclose(pieces.gram, whole.gram, rtol=1e-12)
    np.testing.assert_allclose(pieces.moment, whole.moment, rtol=1e-12)


@pytest.mark.parametrize(("kind", "config"), [(Ridge, RidgeConfig), (FWLS, FWLSConfig)])
def test_the_penalty_that_is_best_on_validation_is_kept(kind: Any, config: Any) -> None:
    train, validation = problem(3), problem(4)
    found = []
    for penalty in config().penalties:
        alone = kind(config(penalties=(penalty,))).fit(train, validation)
        score = alone.forward(validation.signals).score
        found.append((quality(score, validation), alone.coefficients))
    best = max(found, key=lambda pair: pair[0])
    np.testing.assert_array_equal(kind().fit(train, validation).coefficients, best[1])


def test_columns_are_score_rank_and_missing_of_each_base() -> None:
    given_lists = plain([[[2.0, NAN], [1.0, 7.0]]])
    found = [column.tolist() for column in score_columns(given_lists.signals)]
    second = 61 / 62  # base 0 ranks the second candidate second
    assert found[0] == [[2, 1]]
    np.testing.assert_allclose(found[1], [[1, second]], rtol=1e-6)
    assert found[2] == [[0, 0]]
    assert found[3:] == [[[0, 7]], [[0, 1]], [[1, 0]]]


def test_a_missing_score_is_worth_what_it_was_worth() -> None:
    # Wanted is what base 1 does not know: no score of its own could say so.
    given_lists = plain(
        [[[0.0, 1.0], [0.0, NAN], [0.0, -1.0]], [[0.0, 0.5], [0.0, 0.5], [0.0, NAN]]],
        [[False, True, False], [False, False, True]],
    )
    score = Ridge().fit(given_lists, given_lists).forward(given_lists.signals).score
    assert score.argmax(axis=1).tolist() == [1, 2]


# -- feature-weighted ------------------------------------------------------------------


def flipped(seed: int, n: int = 60, where: str = "user") -> LabelledSignals:
    """One base, right about half of the people (or items) and wrong about the others."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, 8, 1)).astype(np.float32)
    sign = np.where(rng.random((n, 1) if where == "user" else (n, 8)) < 0.5, -1.0, 1.0)
    value = score[:, :, 0] * sign
    context: dict[str, Any] = (
        {"user": sign, "user_names": ["recency"]}
        if where == "user"
        else {"item": sign[:, :, None], "item_names": ["log_age_days"]}
    )
    return plain(score, value == value.max(axis=1, keepdims=True), **context)


@pytest.mark.parametrize("where", ["user", "item"])
def test_a_meta_feature_may_turn_a_base_round(where: str) -> None:
    train, validation, test = (flipped(seed, where=where) for seed in range(3))
    score = FWLS().fit(train, validation).forward(test.signals).score
    plainly = Ridge().fit(train, validation).forward(test.signals).score
    assert quality(score, test) > max(0.8, quality(plainly, test) + 0.15)


def test_fwls_is_a_regression_on_scores_times_meta_features() -> None:
    train, test = problem(0, n=60), problem(2)
    model = FWLS(FWLSConfig(penalties=(0.1,))).fit(train, problem(1))
    assert model.user_scaler is not None
    assert model.item_scaler is not None

    def rows(signals: Signals) -> Any:
        # Of the listed columns the problem has two of the user's, besides the count, and both items'.
        names = signals.columns
        user = np.array(signals.user)[:, [names.user.index(c) for c in USED]]
        user, _ = model.user_scaler.transform(user)  # type: ignore[union-attr]
        item, _ = model.item_scaler.transform(np.array(signals.item))  # type: ignore[union-attr]
        meta = np.concatenate(
            [np.ones((*signals.mask.shape, 1)),
             np.broadcast_to(user[:, None], (*signals.mask.shape, len(USED))), item], axis=-1,
        )  # fmt: skip
        z = np.where(signals.available, signals.score, 0)
        bases = np.concatenate([np.ones((*signals.mask.shape, 1)), z], axis=-1)
        products = bases[..., :, None] * meta[..., None, :]  # (B, L, S + 1, M)
        return products.reshape(*signals.mask.shape, -1)[signals.available.any(axis=-1)]

    wanted = train.relevant[train.signals.available.any(axis=-1)]
    predict = regressed(rows(train.signals), wanted, 0.1)
    there = test.signals.available.any(axis=-1)
    found = model.forward(test.signals).score[there]
    np.testing.assert_allclose(found, predict(rows(test.signals)), atol=1e-5)


@pytest.mark.parametrize("kind", [Ridge, FWLS])
@pytest.mark.parametrize("constant_base", [True, False])
def test_scores_are_the_sums_that_were_regressed(kind: Any, constant_base: bool) -> None:
    config = {"constant_base": constant_base} if kind is FWLS else {}
    model = kind(kind.Config(**config)).fit(problem(0, n=60), problem(1))
    signals = problem(2).signals
    columns = model._columns if kind is FWLS else score_columns
    summed = model.coefficients[0] + sum(
        coefficient * column
        for coefficient, column in zip(model.coefficients[1:], columns(signals), strict=True)
    )
    there = signals.scored
    found = model.forward(signals).score
    np.testing.assert_allclose(found[there], summed[there], rtol=1e-5, atol=1e-7)
    assert np.isnan(found[~there]).all()


USED = ("log_positives", "recency", "log_track_items")


def test_listed_columns_that_are_not_there_are_left_out() -> None:
    model = FWLS().fit(problem(0), problem(1))
    assert model.coefficients is not None
    n_meta = 1 + len(USED) + 2
    assert len(model.coefficients) == (1 + 3) * n_meta
    without = FWLS(FWLSConfig(constant_base=False)).fit(problem(0), problem(1))
    assert without.coefficients is not None
    assert len(without.coefficients) == 1 + 3 * n_meta
