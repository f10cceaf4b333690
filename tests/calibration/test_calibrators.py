"""What every calibrator promises, whichever it is."""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.calibration.base import Calibrator
from crossfade.calibration.beta import BetaCalibration
from crossfade.calibration.registry import CALIBRATORS, pack_calibrator, unpack_calibrator
from crossfade.calibration.temperature import TemperatureScaling
from crossfade.errors import BundleError, DataError, NotFittedError
from crossfade.types import Bools, Doubles

NAN = math.nan
LEARNING = {name: kind for name, kind in CALIBRATORS.items() if name != "identity"}

every = pytest.mark.parametrize("kind", CALIBRATORS.values(), ids=CALIBRATORS)
every_learning = pytest.mark.parametrize("kind", LEARNING.values(), ids=LEARNING)


def rows(n: int = 2_000, seed: int = 0) -> tuple[Doubles, Bools]:
    """Scores in [0, 1] that tell something, about a fifth of them wanted."""
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 4, n)
    return score, rng.random(n) < score


@every
def test_answers_are_probabilities_of_the_same_shape(kind: type[Calibrator]) -> None:
    model = kind().fit(*rows())
    found = model.predict(np.linspace(0, 1, 12).reshape(3, 4))
    assert found.shape == (3, 4)
    assert found.dtype == np.float64
    assert ((found > 0) & (found < 1)).all()


@every
def test_missing_scores_have_no_probability_and_change_no_other(kind: type[Calibrator]) -> None:
    score, label = rows()
    model = kind().fit(score, label)
    np.testing.assert_array_equal(
        model.predict(np.array([NAN, 0.3, NAN])), [NAN, model.predict(np.array([0.3]))[0], NAN]
    )
    gappy = kind().fit(np.append(score, [NAN, NAN]), np.append(label, [True, False]))
    np.testing.assert_array_equal(gappy.predict(score), model.predict(score))


@every
def test_single_precision_scores_are_taken(kind: type[Calibrator]) -> None:
    score, label = rows()
    model = kind().fit(score.astype(np.float32), label)
    np.testing.assert_allclose(
        model.predict(score.astype(np.float32)), kind().fit(score, label).predict(score), atol=1e-3
    )


@every
def test_infinite_scores_are_refused_with_their_number(kind: type[Calibrator]) -> None:
    score, label = rows(50)
    model = kind().fit(score, label)
    score[3], score[9] = math.inf, -math.inf
    with pytest.raises(DataError, match="2 of 50 scores are infinite"):
        kind().fit(score, label)
    with pytest.raises(DataError, match="2 of 50 scores are infinite"):
        model.predict(score)


@every
@pytest.mark.parametrize(("value", "n"), [(False, 0), (True, 50)])
def test_labels_of_one_kind_are_refused(kind: type[Calibrator], value: bool, n: int) -> None:
    with pytest.raises(DataError, match=f"{n} of 50 scored candidates are wanted"):
        kind().fit(rows(50)[0], np.full(50, value))


@every
def test_nothing_to_learn_from_is_refused(kind: type[Calibrator]) -> None:
    with pytest.raises(DataError, match="0 of 0 scored candidates"):
        kind().fit(np.zeros(0), np.zeros(0, dtype=np.bool_))
    with pytest.raises(DataError, match="0 of 0 scored candidates"):
        kind().fit(np.full(4, NAN), np.array([True, False, True, False]))


@every
def test_labels_and_weights_that_are_none_are_refused(kind: type[Calibrator]) -> None:
    score, label = rows(50)
    with pytest.raises(DataError, match="1 of 50 labels are neither 0 nor 1"):
        kind().fit(score, np.where(np.arange(50) == 7, 3, label))
    with pytest.raises(DataError, match="2 of 50 weights are not finite numbers of 0 or more"):
        kind().fit(score, label, np.array([-1.0, NAN] + [1.0] * 48))
    with pytest.raises(ValueError, match="must be of one shape"):
        kind().fit(score, label[:-1])


@every
def test_asking_before_fitting_says_so(kind: type[Calibrator]) -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        kind().predict(np.zeros(2))


@every
def test_no_candidates_get_no_answers(kind: type[Calibrator]) -> None:
    assert kind().fit(*rows()).predict(np.zeros((0, 5))).shape == (0, 5)


@every
def test_saving_and_loading_changes_nothing(kind: type[Calibrator]) -> None:
    score, label = rows()
    model = kind().fit(score, label)
    arrays = pack_calibrator("blend", model)
    assert all(key.startswith("blend.") for key in arrays)
    assert all(array.dtype != np.object_ for array in arrays.values())
    again = unpack_calibrator("blend", arrays)
    assert type(again) is kind
    asked = np.linspace(0, 1, 50)
    np.testing.assert_array_equal(again.predict(asked), model.predict(asked))


def test_a_calibrator_from_the_future_is_refused() -> None:
    arrays = pack_calibrator("blend", CALIBRATORS["platt"]().fit(*rows()))
    arrays["blend.name.utf8"] = np.frombuffer(b"prism", dtype=np.uint8)
    with pytest.raises(BundleError, match='no calibrator "prism"'):
        unpack_calibrator("blend", arrays)


@every
def test_a_second_fit_forgets_the_first(kind: type[Calibrator]) -> None:
    score, label = rows()
    fresh = kind().fit(score, label)
    used = kind().fit(*rows(seed=5)).fit(score, label)
    np.testing.assert_array_equal(used.predict(score), fresh.predict(score))


@every_learning
def test_a_constant_score_gives_the_share_that_was_wanted(kind: type[Calibrator]) -> None:
    label = np.arange(1_000) < 300
    model = kind().fit(np.full(1_000, 7.0), label)
    assert model.predict(np.array([7.0]))[0] == pytest.approx(0.3, abs=1e-3)


@every_learning
def test_a_score_that_is_better_upside_down_is_of_no_worth(kind: type[Calibrator]) -> None:
    # To rise with it would be wrong, to fall is not allowed: the share it is.
    score, label = rows()
    found = kind().fit(-score, label).predict(-score)
    assert np.ptp(found) < 0.02
    assert found.mean() == pytest.approx(label.mean(), abs=0.01)


@every_learning
def test_unit_and_origin_of_the_score_do_not_matter(kind: type[Calibrator]) -> None:
    score, label = rows()
    plain = kind().fit(score, label).predict(score)
    other = 1_000 * score - 70_000
    np.testing.assert_allclose(kind().fit(other, label).predict(other), plain, atol=2e-3)


@pytest.mark.parametrize("kind", [kind for kind in LEARNING.values() if kind.name != "temperature"])
def test_on_average_it_says_what_happens(kind: type[Calibrator]) -> None:
    # All but temperature have an intercept of their own.
    score, label = rows(20_000)
    found = kind().fit(score, label).predict(score)
    assert found.mean() == pytest.approx(label.mean(), abs=1e-3)


@every_learning
def test_a_weight_of_three_is_three_rows(kind: type[Calibrator]) -> None:
    score, label = rows(300)
    weight = np.where(np.arange(300) % 2, 3, 1)
    weighted = kind().fit(score, label, weight).predict(score)
    repeated = kind().fit(np.repeat(score, weight), np.repeat(label, weight)).predict(score)
    # How far the ends may go depends on the number of rows, and where the network's steps begin
    # on quantiles, which know no weights.
    tolerance = 0.01 if kind.name == "network" else 2e-3
    np.testing.assert_allclose(
        np.clip(weighted, 0.01, 0.99), np.clip(repeated, 0.01, 0.99), atol=tolerance
    )


@every
def test_a_row_without_weight_is_not_there(kind: type[Calibrator]) -> None:
    score, label = rows(500)
    kept = np.arange(500) % 3 > 0
    part = kind().fit(score[kept], label[kept])
    whole = kind().fit(score, label, kept.astype(np.float64))
    np.testing.assert_array_equal(part.predict(score), whole.predict(score))


@every_learning
def test_scores_that_part_both_kinds_leave_a_little_doubt(kind: type[Calibrator]) -> None:
    # Ten rows cannot prove that something never happens: 1 / (10 + 2) is the least it may say.
    score = np.arange(10.0)
    found = kind().fit(score, score >= 5).predict(np.array([-1e6, 0.0, 9.0, 1e6]))
    assert found.min() >= 1 / 12 - 1e-12
    assert found.max() <= 11 / 12 + 1e-12
    assert found[3] > 0.8


MAKERS: dict[str, Callable[[], Calibrator]] = {
    **LEARNING,
    "temperature of logits": partial(TemperatureScaling, logits=True),
    "beta of logits": partial(BetaCalibration, logits=True),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6, allow_subnormal=False), st.booleans()),
        min_size=2,
        max_size=40,
    ),
    st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=20),
)
def test_a_higher_score_never_gets_a_lower_probability(
    make: Callable[[], Calibrator], given_rows: list[tuple[float, bool]], asked: list[float]
) -> None:
    score = np.array([score for score, _ in given_rows])
    label = np.array([wanted for _, wanted in given_rows])
    label[0], label[1] = True, False
    found = make().fit(score, label).predict(np.sort(asked))
    assert not np.isnan(found).any()
    assert (np.diff(found) >= -1e-12).all()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_scores_too_near_to_tell_apart_make_no_other_infinite(
    make: Callable[[], Calibrator],
) -> None:
    score, label = np.array([0.0, 2.3e-308]), np.array([True, False])
    found = make().fit(score, label).predict(np.array([0.0, 2.0]))
    assert ((found > 0) & (found < 1)).all()


def test_identity_wants_probabilities() -> None:
    identity = CALIBRATORS["identity"]
    score, label = rows(100)
    np.testing.assert_array_equal(identity().fit(score, label).predict(np.array([0.25])), [0.25])
    with pytest.raises(DataError, match=r"identity: 1 of 2 scores are outside \[0, 1\]"):
        identity().fit(np.array([0.2, 1.2]), np.array([True, False]))
    with pytest.raises(DataError, match="1 of 1 scores are outside"):
        identity().fit(score, label).predict(np.array([-0.1]))


def test_half_a_million_candidates_take_seconds() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=500_000)
    label = rng.random(500_000) < 0.02 * np.exp(0.8 * score).clip(0, 20)
    start = time.monotonic()
    for kind in LEARNING.values():
        kind().fit(score, label).predict(score)
    # 2 s on one idle core for all five; the limit is for a busy one.
    assert time.monotonic() - start < 20
