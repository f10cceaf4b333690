import sys
from typing import Any

import numpy as np
import pytest
from tests.fusion.problem import SMALL, problem, with_signals

from crossfade.errors import MissingExtraError
from crossfade.fusion.lambdamart import LambdaMART, LambdaMARTConfig, features
from crossfade.fusion.matrix import quality

CONFIG = LambdaMARTConfig.model_validate({**SMALL["lambdamart"], "max_trees": 40})


def fitted(config: LambdaMARTConfig = CONFIG, n: int = 60) -> LambdaMART:
    return LambdaMART(config).fit(problem(0, n=n), problem(1, n=40))


def score_of(model: LambdaMART, seed: int = 2) -> float:
    test = problem(seed, n=60)
    return quality(model.forward(test.signals).score, test)


def test_trees_find_the_base_that_is_right() -> None:
    test = problem(2, n=60)
    others = max(quality(test.signals.score[:, :, base], test) for base in (1, 2))
    assert score_of(fitted()) > 1.3 * others


def test_columns_are_scores_ranks_items_and_users_in_that_order() -> None:
    signals = problem(0).signals
    (found,) = features(signals)
    rows = signals.available.any(axis=-1)
    request, _ = np.nonzero(rows)
    assert found.shape == (rows.sum(), 3 + 3 + 2 + 6)
    np.testing.assert_array_equal(found[:, :3], signals.score[rows])  # missing stays missing
    np.testing.assert_array_equal(found[:, 3:6], np.array(signals.reciprocal_rank)[rows])
    np.testing.assert_array_equal(found[:, 6:8], np.array(signals.item)[rows])
    np.testing.assert_array_equal(found[:, 8:], np.array(signals.user)[request])


def test_requests_in_pieces_get_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    model, signals = fitted(), problem(2).signals
    whole = model.forward(signals).score
    monkeypatch.setattr("crossfade.fusion.lambdamart._ROWS_AT_ONCE", 30)
    np.testing.assert_array_equal(model.forward(signals).score, whole)


def test_trees_that_are_not_read_are_asked_of_the_library() -> None:
    signals = problem(2).signals
    small, large = fitted(), fitted(CONFIG.changed(leaves=(40,), min_data=(1,)))
    assert small._forest is not None
    assert large._forest is None
    for model in (small, large):
        (X,) = features(signals)
        said = model.forward(signals).score[signals.scored]
        np.testing.assert_array_equal(said, model._booster.predict(X).astype(np.float32))


def test_item_columns_alone_can_decide() -> None:
    # Wanted is what has the highest first item column; no base knows.
    def by_item(seed: int) -> Any:
        given = problem(seed, n=60)
        column = np.nan_to_num(np.array(given.signals.item)[:, :, 0], nan=-9.0)
        column[~given.signals.available.any(axis=-1)] = -9.0
        relevant = column == column.max(axis=1, keepdims=True)
        object.__setattr__(given, "relevant", relevant)
        object.__setattr__(given, "n_relevant", relevant.sum(axis=1).astype(np.float64))
        return given

    model = LambdaMART(CONFIG).fit(by_item(0), by_item(1))
    test = by_item(2)
    assert quality(model.forward(test.signals).score, test) > 0.8


def test_the_setting_that_is_best_on_validation_is_kept() -> None:
    validation = problem(1, n=40)
    found = {}
    for leaves in (2, 8):
        for least in (2, 60):
            alone = fitted(CONFIG.changed(leaves=(leaves,), min_data=(least,)))
            found[leaves, least] = quality(alone.forward(validation.signals).score, validation)
    assert len(set(found.values())) > 1
    chosen = fitted(CONFIG.changed(leaves=(2, 8), min_data=(2, 60)))
    assert quality(chosen.forward(validation.signals).score, validation) == max(found.values())


def test_trees_after_the_best_one_are_not_kept() -> None:
    # Validation turned upside down: more trees make it worse. Training goes on for the patience of
    # 30, and those trees must be gone: of at most 40, fewer than 10 can be left if it stopped early.
    train, validation = problem(0, n=60), problem(1, n=40)
    wrong = with_signals(
        validation,
        score=-validation.signals.score,
        reciprocal_rank=-np.array(validation.signals.reciprocal_rank),
    )
    model = LambdaMART(CONFIG).fit(train, wrong)
    text = model.state()["trees"].tobytes().decode()
    straight = fitted().state()["trees"].tobytes().decode()
    assert text.count("Tree=") < CONFIG.max_trees - CONFIG.patience
    assert straight.count("Tree=") > text.count("Tree=")


def test_the_state_is_text_and_cannot_run_code() -> None:
    trees = fitted().state()["trees"]
    assert trees.dtype == np.uint8
    assert trees.tobytes().decode().startswith("tree\n")


def test_threads_do_not_change_the_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    def trees(n: int) -> str:
        monkeypatch.setattr("crossfade.fusion.lambdamart.n_threads", lambda: n)
        return fitted(CONFIG.changed(max_trees=3), n=24).state()["trees"].tobytes().decode()

    assert trees(1) == trees(2)


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"lambdamart.*pip install 'crossfade\[boost\]'"):
        fitted()
