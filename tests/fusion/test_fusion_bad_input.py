"""What every registered fusion model does with signals that are not as one would wish."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.fusion.problem import (
    CLASSIC,
    NAN,
    NETWORKS,
    NOTHING_LEARNED,
    fit,
    problem,
    promises,
    with_signals,
)

from crossfade.errors import DataError
from crossfade.fusion.base import Columns, FusionModel, LabelledSignals
from crossfade.fusion.registry import FUSIONS

every_model = pytest.mark.parametrize("name", FUSIONS)


@pytest.fixture(scope="module")
def models() -> dict[str, FusionModel[Any]]:
    return {name: fit(name, problem(0), problem(1)) for name in FUSIONS}


def spoiled(labelled: LabelledSignals, score: float, base: int = 1) -> LabelledSignals:
    """One base says the same of everything: all are its best, or none."""
    parts = {}
    for key, value in (("score", score), ("reciprocal_rank", score + 1.0)):
        array = getattr(labelled.signals, key).copy()
        array[:, :, base] = np.where(labelled.signals.mask, value, NAN)
        parts[key] = array
    return with_signals(labelled, **parts)


@every_model
@pytest.mark.parametrize("value", [NAN, 0.0], ids=["missing", "constant"])
def test_a_base_that_says_nothing_is_no_trouble(name: str, value: float) -> None:
    model = fit(name, spoiled(problem(0), value), spoiled(problem(1), value))
    given = spoiled(problem(2), value).signals
    fused = model.forward(given)
    promises(fused, given)
    assert np.isfinite(fused.score).mean() > 0.5
    if np.isnan(value):
        assert not (fused.weights[:, :, 1] > 0).any()
    # And it may come alive, or fall silent, after the fit.
    promises(model.forward(problem(2).signals), problem(2).signals)


@every_model
def test_a_base_may_fall_silent_after_the_fit(models: dict[str, Any], name: str) -> None:
    given = spoiled(problem(2), NAN, base=0).signals
    fused = models[name].forward(given)
    promises(fused, given)
    assert not (fused.weights[:, :, 0] > 0).any()


@every_model
def test_constant_scores_of_all_bases_are_no_trouble(name: str) -> None:
    def flat(labelled: LabelledSignals) -> LabelledSignals:
        for base in range(3):
            labelled = spoiled(labelled, 0.0, base)
        return labelled

    given = flat(problem(2)).signals
    promises(fit(name, flat(problem(0)), flat(problem(1))).forward(given), given)


@every_model
@pytest.mark.parametrize("n_bases", [1, 50])
def test_one_base_and_fifty_bases_work(name: str, n_bases: int) -> None:
    train, validation = problem(0, n_bases=n_bases), problem(1, n_bases=n_bases)
    given = problem(2, n_bases=n_bases).signals
    fused = fit(name, train, validation).forward(given)
    promises(fused, given)
    if n_bases == 1 and not np.isnan(fused.weights).all():
        assert (fused.weights[given.available] == 1).all()


@every_model
def test_a_request_that_no_base_can_score_has_no_scores(models: dict[str, Any], name: str) -> None:
    given = problem(2).signals
    score, rank = given.score.copy(), np.array(given.reciprocal_rank)
    score[3], rank[3] = NAN, NAN
    fused = models[name].forward(replace(given, score=score, reciprocal_rank=rank))
    assert np.isnan(fused.score[3]).all()
    assert np.isnan(fused.weights[3]).all()
    others = np.arange(24) != 3
    np.testing.assert_array_equal(fused.score[others], models[name].forward(given).score[others])


@every_model
def test_lists_that_no_base_can_score_do_not_disturb_learning(name: str) -> None:
    train = problem(0)
    score, rank = train.signals.score.copy(), np.array(train.signals.reciprocal_rank)
    score[3], rank[3] = NAN, NAN
    train = with_signals(train, score=score, reciprocal_rank=rank)
    promises(fit(name, train, problem(1)).forward(problem(2).signals), problem(2).signals)


@every_model
def test_without_a_wanted_candidate_there_is_nothing_to_learn(name: str) -> None:
    nothing = replace(problem(0), relevant=np.zeros((24, 12), dtype=np.bool_))
    with pytest.raises(DataError, match=f"{name}: none of 24 requests has a wanted item"):
        fit(name, nothing, problem(1))


@pytest.mark.parametrize(
    "name", [name for name in CLASSIC if name not in NOTHING_LEARNED | {"hard_selection"}]
)
def test_without_a_wanted_candidate_on_validation_nothing_can_be_chosen(name: str) -> None:
    nothing = replace(problem(1), relevant=np.zeros((24, 12), dtype=np.bool_))
    with pytest.raises(DataError, match=f"{name}: none of 24 validation requests"):
        fit(name, problem(0), nothing)


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("adaptive", "needs user columns"),
        ("hard_selection", "needs user columns"),
        ("fwls", "needs one of the columns"),
    ],
)
def test_a_model_that_needs_context_says_so(name: str, needs: str) -> None:
    def bare(labelled: LabelledSignals) -> LabelledSignals:
        columns = Columns(labelled.signals.columns.bases)
        return with_signals(labelled, user=None, item=None, columns=columns)

    with pytest.raises(DataError, match=f"{name} {needs}"):
        fit(name, bare(problem(0)), bare(problem(1)))


@pytest.mark.parametrize("name", ["adaptive", "hard_selection", "fwls", "lambdamart"])
def test_context_that_is_gone_after_the_fit_is_an_error(models: dict[str, Any], name: str) -> None:
    given = replace(problem(2).signals, user=None)
    with pytest.raises(DataError, match=f"{name} needs user columns"):
        models[name].forward(given)


@pytest.mark.parametrize(
    "name", [n for n in CLASSIC if n not in {"adaptive", "hard_selection", "fwls"}]
)
def test_the_other_models_work_without_context(name: str) -> None:
    def bare(labelled: LabelledSignals) -> LabelledSignals:
        columns = Columns(labelled.signals.columns.bases)
        return with_signals(labelled, user=None, item=None, columns=columns)

    given = bare(problem(2)).signals
    fused = fit(name, bare(problem(0)), bare(problem(1))).forward(given)
    promises(fused, given)


@pytest.mark.parametrize("name", ["rrf", "confidence_weighted", "ridge", "lambdamart"])
def test_a_model_that_needs_ranks_says_so(name: str) -> None:
    scores = with_signals(problem(0), reciprocal_rank=None)
    with pytest.raises(DataError, match=f"{name} needs reciprocal ranks"):
        fit(name, scores, scores).forward(scores.signals)


@pytest.mark.parametrize(
    "name", ["static", "combsum", "learned_weights", "adaptive", "fwls", "hard_selection"]
)
def test_the_other_models_work_with_scores_alone(name: str) -> None:
    train, validation = (with_signals(problem(seed), reciprocal_rank=None) for seed in (0, 1))
    promises(fit(name, train, validation).forward(validation.signals), validation.signals)


# -- infinite and huge scores ------------------------------------------------------------


@every_model
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_scores_are_named(models: dict[str, Any], name: str, value: float) -> None:
    def one(labelled: LabelledSignals) -> LabelledSignals:
        score = labelled.signals.score.copy()
        score[1, 3, 2] = value
        return with_signals(labelled, score=score)

    named = f'{name}: base "b2" gives infinite scores; mask them as NaN'
    with pytest.raises(DataError, match=named):
        fit(name, one(problem(0)), problem(1))
    with pytest.raises(DataError, match=named):
        fit(name, problem(0), one(problem(1)))
    with pytest.raises(DataError, match=named):
        models[name].forward(one(problem(2)).signals)


@every_model
def test_infinity_in_the_padding_is_nobodys_score(models: dict[str, Any], name: str) -> None:
    given = problem(2).signals
    score = given.score.copy()
    score[~given.mask] = np.inf
    found = models[name].forward(replace(given, score=score)).score
    np.testing.assert_array_equal(found, models[name].forward(given).score)


@every_model
@pytest.mark.parametrize("factor", [1e30, 3e37])
def test_scores_in_a_huge_unit_are_blended_or_refused(name: str, factor: float) -> None:
    def huge(labelled: LabelledSignals) -> LabelledSignals:
        score = labelled.signals.score.copy()
        score[:, :, 1] *= np.float32(factor)
        return with_signals(labelled, score=score)

    given = huge(problem(2)).signals
    if name in NETWORKS - {"auto"}:  # the candidates of `auto` here are no networks
        refused = f'{name}: base "b1" gives scores beyond 1,000,000; scale them with zscore'
        with pytest.raises(DataError, match=refused):
            fit(name, huge(problem(0)), huge(problem(1)))
        with pytest.raises(DataError, match=refused):
            fit(name, problem(0), problem(1)).forward(given)
    else:
        promises(fit(name, huge(problem(0)), huge(problem(1))).forward(given), given)


# -- context that is not as it was -------------------------------------------------------


def with_another_column(labelled: LabelledSignals) -> LabelledSignals:
    signals = labelled.signals
    assert signals.item is not None
    item = np.concatenate([signals.item, signals.item[:, :, :1]], axis=2)
    columns = replace(signals.columns, item=(*signals.columns.item, "loudness"))
    return with_signals(labelled, item=item, columns=columns)


def without_a_column(labelled: LabelledSignals) -> LabelledSignals:
    signals = labelled.signals
    assert signals.user is not None
    columns = replace(signals.columns, user=signals.columns.user[1:])
    return with_signals(labelled, user=signals.user[:, 1:], columns=columns)


@every_model
@pytest.mark.parametrize("change", [with_another_column, without_a_column])
def test_other_columns_than_those_of_the_fit_are_refused(
    models: dict[str, Any], name: str, change: Any
) -> None:
    with pytest.raises(ValueError, match=f"{name} was fitted on Columns"):
        models[name].forward(change(problem(2)).signals)
    with pytest.raises(ValueError, match=f"{name} was fitted on Columns"):
        fit(name, problem(0), change(problem(1)))


@every_model
@pytest.mark.parametrize("value", [NAN, np.inf, -np.inf, 1e30, -1e30])
def test_context_may_hold_any_number(models: dict[str, Any], name: str, value: float) -> None:
    def told(labelled: LabelledSignals) -> LabelledSignals:
        parts = {}
        for part in ("user", "item"):
            array = getattr(labelled.signals, part).copy()
            array[..., 0] = value
            parts[part] = array
        return with_signals(labelled, **parts)

    given = told(problem(2)).signals
    expected = np.isfinite(models[name].forward(problem(2).signals).score)
    for model in (models[name], fit(name, told(problem(0)), told(problem(1)))):
        fused = model.forward(given)
        promises(fused, given)
        if name != "hard_selection":  # whom it trusts depends on the numbers
            np.testing.assert_array_equal(np.isfinite(fused.score), expected)


# -- blocks that say nothing -------------------------------------------------------------


def silent(labelled: LabelledSignals) -> LabelledSignals:
    for base in range(3):
        labelled = spoiled(labelled, NAN, base)
    return labelled


def mute(labelled: LabelledSignals) -> LabelledSignals:
    return replace(labelled, relevant=np.zeros_like(labelled.relevant))


@every_model
@pytest.mark.parametrize("block", ["train", "validation"])
@pytest.mark.parametrize("change", [silent, mute])
def test_a_block_that_says_nothing_is_one_clear_error_or_no_trouble(
    name: str, block: str, change: Any
) -> None:
    train = change(problem(0)) if block == "train" else problem(0)
    validation = change(problem(1)) if block == "validation" else problem(1)
    given = problem(2).signals
    try:
        model = fit(name, train, validation)
    except DataError as error:
        assert "has a wanted item among its candidates" in str(error) or (  # noqa: PT017
            "no base can score a wanted candidate" in str(error)
        )
    else:
        assert (block, change) != ("train", mute)
        promises(model.forward(given), given)
        assert np.isfinite(model.forward(given).score).mean() > 0.5
