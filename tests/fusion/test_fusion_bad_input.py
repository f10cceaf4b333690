"""What every registered fusion model does with signals that are not as one would wish."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.fusion.problem import (
    CLASSIC,
    NAN,
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


@pytest.mark.parametrize("name", ["learned_weights", "adaptive", "ridge", "fwls", "lambdamart"])
def test_infinite_scores_are_named(name: str) -> None:
    train = spoiled(problem(0), np.inf, base=2)
    with pytest.raises(DataError, match='base "b2" gives infinite scores'):
        fit(name, train, problem(1))
