"""Contributions: every model's score is, to the last bit, the sum of what its bases brought and a residual."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fusion.problem import NAN, SMALL, fit, problem

from crossfade.errors import NotFittedError
from crossfade.fusion.auto import AutoFusion
from crossfade.fusion.base import Fused, Signals
from crossfade.fusion.contributions import Contributions
from crossfade.fusion.registry import FUSIONS, make_fusion

FIVE = "auto of five"
"""`auto` that serves everybody with all of its candidates."""

MODELS = [*FUSIONS, FIVE]
WEIGHTED = [name for name in FUSIONS if name not in {"ridge", "fwls", "lambdamart", "auto"}]
"""Models whose score is a weighted mean of what bases say, or a multiple of it."""

LISTED = [name for name in FUSIONS if name != "lambdamart"]
"""Models that account for the whole list."""

every_model = pytest.mark.parametrize("name", MODELS)


def five(n_bases: int) -> AutoFusion:
    """Members of unequal shares; one of them, `hard_selection`, passes over some candidates."""
    lists = problem(0, n_bases=n_bases), problem(1, n_bases=n_bases)
    model = make_fusion("auto", SMALL["auto"])
    assert isinstance(model, AutoFusion)
    model.fit(*lists)
    names = ("static", "fwls", "meta", "lambdamart", "hard_selection")
    model.shares = dict(zip(names, (0.1, 0.2, 0.3, 0.25, 0.15), strict=True))
    model.members = {name: fit(name, *lists) for name in model.shares}
    model.verdicts = tuple(replace(verdict, serves=True) for verdict in model.verdicts)
    return model


@pytest.fixture(scope="module")
def models() -> dict[tuple[str, int], Any]:
    """By name and number of bases."""
    found: dict[tuple[str, int], Any] = {(FIVE, n): five(n) for n in (1, 3)}
    for name in FUSIONS:
        for n in (1, 3):
            found[name, n] = fit(name, problem(0, n_bases=n), problem(1, n_bases=n))
    return found


@st.composite
def requests(draw: st.DrawFn, n_bases: int | None = None) -> Signals:
    """One request with gaps, padding, ties, and sometimes a base that knows nothing."""
    n = draw(st.sampled_from([1, 3])) if n_bases is None else n_bases
    n_items = draw(st.integers(2, 15))
    seed, padded = draw(st.integers(0, 10_000)), draw(st.integers(0, n_items))
    signals = problem(seed, 1, n_items, n, padded=padded).signals
    rng = np.random.default_rng(seed)
    gone = rng.random(signals.score.shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    gone |= np.array([draw(st.booleans()) and n > 1 for _ in range(n)])
    score, ranks = signals.score.copy(), np.array(signals.reciprocal_rank)
    if draw(st.booleans()):
        score[:, :, 0] = np.where(np.isnan(score[:, :, 0]), NAN, 0)  # it says the same of all
    score[gone], ranks[gone] = NAN, NAN
    return replace(signals, score=score, reciprocal_rank=ranks)


def of(models: Any, name: str, signals: Signals) -> Any:
    return models[name, signals.score.shape[2]]


def every_place(signals: Signals) -> Any:
    return np.arange(signals.mask.shape[1])


def explained(models: Any, name: str, signals: Signals) -> tuple[Fused, Contributions]:
    model = of(models, name, signals)
    fused = model.forward(signals)
    return fused, model.contributions(signals, every_place(signals), fused)


# -- promises --------------------------------------------------------------------------


@every_model
@settings(max_examples=40)
@given(signals=requests())
def test_contributions_and_residual_are_the_score(models: Any, name: str, signals: Signals) -> None:
    fused, found = explained(models, name, signals)
    score = fused.score[0].astype(np.float64)
    np.testing.assert_allclose(found.base.sum(axis=-1) + found.residual, score, rtol=1e-12)
    np.testing.assert_allclose(
        found.centred.sum(axis=-1) + found.centred_residual, score, rtol=1e-12
    )


@every_model
@settings(max_examples=40)
@given(signals=requests())
def test_who_cannot_score_brings_exactly_nothing(models: Any, name: str, signals: Signals) -> None:
    fused, found = explained(models, name, signals)
    scored = ~np.isnan(fused.score[0])
    absent = ~signals.available[0] & scored[:, None]
    for part in (found.base, found.centred):
        assert part.shape == signals.score.shape[1:]
        assert (part[absent] == 0).all()
        assert np.isnan(part[~scored]).all(), "without a score there is nothing to account for"
        assert np.isfinite(part[scored]).all()
    for rest in (found.residual, found.centred_residual):
        assert (np.isnan(rest) == ~scored).all()


@pytest.mark.parametrize("name", WEIGHTED)
@settings(max_examples=40)
@given(signals=requests())
def test_the_residual_of_a_weighted_mean_is_the_models_own(
    models: Any, name: str, signals: Signals
) -> None:
    # Most have none: then what the bases brought is all there is.
    fused, found = explained(models, name, signals)
    own = np.zeros_like(fused.score) if fused.residual is None else fused.residual
    scored = ~np.isnan(fused.score[0])
    np.testing.assert_allclose(found.residual[scored], own[0, scored], atol=1e-5)


@every_model
@settings(max_examples=20)
@given(signals=requests(n_bases=3), base=st.integers(0, 2))
def test_a_base_that_is_taken_away_brings_nothing(
    models: Any, name: str, signals: Signals, base: int
) -> None:
    score, ranks = signals.score.copy(), np.array(signals.reciprocal_rank)
    score[:, :, base], ranks[:, :, base] = NAN, NAN
    without = replace(signals, score=score, reciprocal_rank=ranks)
    fused, found = explained(models, name, without)
    scored = ~np.isnan(fused.score[0])
    assert (found.base[scored, base] == 0).all()
    assert (found.centred[scored, base] == 0).all()


@every_model
@settings(max_examples=20)
@given(signals=requests(), data=st.data())
def test_who_else_is_asked_about_does_not_matter(
    models: Any, name: str, signals: Signals, data: st.DataObject
) -> None:
    n_items = signals.mask.shape[1]
    places = np.array(data.draw(st.lists(st.integers(0, n_items - 1), max_size=6)), dtype=np.int64)
    model = of(models, name, signals)
    _, whole = explained(models, name, signals)
    some = model.contributions(signals, places)
    for key, part in vars(some).items():
        np.testing.assert_allclose(part, getattr(whole, key)[places], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LISTED)
@settings(max_examples=20)
@given(signals=requests())
def test_a_base_lifts_the_average_candidate_by_nothing(
    models: Any, name: str, signals: Signals
) -> None:
    fused, found = explained(models, name, signals)
    counts = signals.available[0] & ~np.isnan(fused.score[0])[:, None]
    total = np.where(counts, found.centred, 0).sum(axis=0)
    size = 1 + np.abs(np.where(counts, found.base, 0)).sum(axis=0)
    np.testing.assert_allclose(total / size, 0, atol=1e-12)


@every_model
def test_what_stands_in_the_padding_does_not_matter(models: Any, name: str) -> None:
    signals = problem(2).signals.take(np.array([0]))
    rubbish = signals.score.copy()
    rubbish[~signals.mask] = np.inf
    for key, part in vars(explained(models, name, replace(signals, score=rubbish))[1]).items():
        np.testing.assert_array_equal(part, getattr(explained(models, name, signals)[1], key))


@every_model
def test_what_is_handed_over_is_what_gets_explained(models: Any, name: str) -> None:
    model, signals = models[name, 3], problem(2).signals.take(np.array([1]))
    fused, places = model.forward(signals), np.array([3, 1])
    own = model.contributions(signals, places)
    with patch.object(type(model), "forward", side_effect=AssertionError("asked again")):
        handed = model.contributions(signals, places, fused)
        with pytest.raises(AssertionError, match="asked again"):
            model.contributions(signals, places)
    for key, part in vars(own).items():
        np.testing.assert_array_equal(getattr(handed, key), part)


# -- refusing --------------------------------------------------------------------------


def test_more_than_one_request_is_refused(models: Any) -> None:
    with pytest.raises(ValueError, match="of one request"):
        models["static", 3].contributions(problem(2).signals, np.array([0]))


def test_what_was_said_of_other_signals_is_refused(models: Any) -> None:
    model, signals = models["static", 3], problem(2).signals.take(np.array([0]))
    shorter = problem(2, n_items=5).signals.take(np.array([0]))
    with pytest.raises(ValueError, match=r"\(1, 12, 3\) and weights \(1, 5, 3\)"):
        model.contributions(signals, np.array([0]), model.forward(shorter))


@pytest.mark.parametrize("place", [-1, 12])
def test_a_place_outside_the_list_is_refused(models: Any, place: int) -> None:
    signals = problem(2).signals.take(np.array([0]))
    with pytest.raises(ValueError, match="from 0 to 11"):
        models["static", 3].contributions(signals, np.array([2, place]))


@pytest.mark.parametrize("name", ["meta", FIVE])
def test_an_answer_that_lost_its_parts_is_refused(models: Any, name: str) -> None:
    model, signals = models[name, 3], problem(2).signals.take(np.array([0]))
    fused = model.forward(signals)
    with pytest.raises(ValueError, match="pass on what forward gave"):
        model.contributions(signals, np.array([0]), Fused(fused.score, fused.weights))


def test_an_unfitted_model_says_so() -> None:
    with pytest.raises(NotFittedError, match="static"):
        make_fusion("static").contributions(problem().signals.take(np.array([0])), np.array([0]))
