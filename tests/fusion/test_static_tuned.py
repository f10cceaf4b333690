import numpy as np
import pytest
from tests.fusion.problem import problem, with_signals

from crossfade.fusion.matrix import quality
from crossfade.fusion.static import StaticBlend, tune_static
from crossfade.fusion.static_tuned import Static, StaticConfig


@pytest.mark.parametrize("seed", range(4))
def test_the_blend_that_is_best_on_validation_is_kept(seed: int) -> None:
    train, validation = problem(seed), problem(seed + 10)
    found = {}
    for scaling in ("zscore", "reciprocal_rank"):
        for start in ("best", "equal"):
            here, there = train.signals, validation.signals
            if scaling == "reciprocal_rank":
                here, there = (
                    with_signals(lists, score=lists.signals.reciprocal_rank).signals
                    for lists in (train, validation)
                )
            blend = tune_static(here, train.relevant, train.n_relevant, start=start)
            found[scaling, start] = (quality(blend.forward(there).score, validation), blend)
    best = max(found, key=lambda key: found[key][0])  # the first of equals, like the model
    model = Static().fit(train, validation)
    assert model.scaling == best[0]
    assert model.blend is not None
    np.testing.assert_array_equal(model.blend.weights, found[best][1].weights)


def test_the_chosen_scale_is_the_one_that_is_blended() -> None:
    train = problem(0)
    signals = problem(1).signals
    model = Static().fit(train, train)
    model.scaling, model.blend = "reciprocal_rank", StaticBlend(np.eye(3, dtype=np.float32)[1])
    expected = np.where(signals.mask, np.array(signals.reciprocal_rank)[:, :, 1], np.nan)
    np.testing.assert_array_equal(model.forward(signals).score, expected.astype(np.float32))


def test_an_order_that_only_ranks_hold_is_found() -> None:
    # The z scores of the validation requests are turned round, their ranks are not.
    train, validation = problem(0), problem(1)
    validation = with_signals(validation, score=-validation.signals.score)
    assert Static().fit(train, validation).scaling == "reciprocal_rank"


def test_the_number_of_steps_is_a_setting() -> None:
    train = problem(0)
    few = Static(StaticConfig(n_steps=1)).fit(train, problem(1))
    assert few.blend is not None
    # One addition leaves a start at the best base with two bases, or one of three above its third.
    weights = np.sort(few.blend.weights)
    assert weights[0] == 0 or weights[0] == weights[1]
    many = Static().fit(train, problem(1))
    assert many.blend is not None
    assert len(np.unique(many.blend.weights)) == 3
    assert not np.array_equal(few.blend.weights, many.blend.weights)
