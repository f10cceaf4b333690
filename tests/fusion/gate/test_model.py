"""`meta`: learns a planted rule, repeatably, and keeps what fusion models promise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.gate.batches import SMALL, planted
from tests.fusion.problem import NAN, fit, problem, promises, with_signals

from crossfade.errors import DataError, NotFittedError
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.matrix import quality
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.types import Floats

LEARNS = SMALL.changed(hidden=16, train={"epochs": 8, "lr": 0.01, "patience": 0})


@pytest.fixture(scope="module")
def meta() -> MetaFusion:
    return MetaFusion(SMALL).fit(problem(0), problem(1))


@pytest.fixture(scope="module")
def rule() -> MetaFusion:
    return MetaFusion(LEARNS).fit(planted(0), planted(1))


# -- learning --------------------------------------------------------------------------


def test_a_rule_that_context_decides_is_learned(rule: MetaFusion) -> None:
    test = planted(2)
    static = fit("static", planted(0), planted(1))
    found, plain = (quality(model.forward(test.signals).score, test) for model in (rule, static))
    assert plain < 0.8
    assert found > plain + 0.1
    # And by weighing the right base, not by chance.
    assert test.signals.user is not None
    weights, above = rule.forward(test.signals).weights[:, :, 0], test.signals.user[:, 0] > 0
    assert weights[above].mean() > weights[~above].mean() + 0.3


def test_the_shrinkage_holds_the_weights_at_the_static_blend(rule: MetaFusion) -> None:
    held = MetaFusion(LEARNS.changed(kl=100.0)).fit(planted(0), planted(1))
    test = planted(2).signals
    spread = [model.forward(test).weights[:, :, 0].std() for model in (rule, held)]
    assert spread[1] < 0.1 * spread[0]


def test_training_is_repeatable_to_the_bit_and_seeds_matter(meta: MetaFusion) -> None:
    torch.manual_seed(5)
    np.random.default_rng(5)
    again = MetaFusion(SMALL).fit(problem(0), problem(1)).state()
    other = MetaFusion(SMALL).fit(problem(0), problem(1), seed=1).state()
    for name, array in meta.state().items():
        np.testing.assert_array_equal(array, again[name])
    assert any(
        (array != other[name]).any() for name, array in meta.state().items() if "net." in name
    )


def test_nobody_elses_random_numbers_are_drawn(meta: MetaFusion) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = MetaFusion(SMALL).fit(problem(0), problem(1))
    MetaFusion.restore(SMALL.model_dump(), meta.state())
    model.forward(problem(2).signals)
    assert torch.equal(torch.rand(2), expected)


def test_the_epoch_that_is_best_on_validation_stays() -> None:
    # Validation in which the rule is turned round: everything learned is harm.
    turned = planted(1)
    assert turned.signals.user is not None
    user = turned.signals.user.copy()
    user[:, 0] *= -1
    turned = with_signals(turned, user=user)
    config = LEARNS.changed(train={"epochs": 6, "lr": 0.01, "patience": 0})
    kept, straight = (MetaFusion(config).fit(planted(0), v) for v in (turned, planted(1)))
    found = [quality(model.forward(turned.signals).score, turned) for model in (kept, straight)]
    assert found[0] > found[1] + 0.05


def test_confidences_are_as_high_as_wanted_is_frequent() -> None:
    # Every second request wants one of 20 candidates; a training step sees only those requests,
    # and 9 of their other candidates.
    train, test = planted(0), planted(2)
    nobody = np.arange(len(train)) % 2 == 0
    train = replace(train, relevant=train.relevant & ~nobody[:, None])
    model = MetaFusion(LEARNS.changed(n_negatives=10)).fit(train, train)
    confidence = model.forward(test.signals).confidence
    assert confidence is not None
    # Without the correction it would be about four times that.
    assert float(confidence.mean()) == pytest.approx(train.relevant.mean(), rel=0.6)


# -- what must not matter --------------------------------------------------------------


def test_a_column_that_was_constant_or_unknown_in_training_cannot_move_the_score() -> None:
    def told(labelled: LabelledSignals, constant: float, never: float) -> LabelledSignals:
        assert labelled.signals.user is not None
        assert labelled.signals.item is not None
        user, item = labelled.signals.user.copy(), labelled.signals.item.copy()
        user[:, 0], user[:, 1] = constant, never
        item[:, :, 0], item[:, :, 1] = constant, never
        return with_signals(labelled, user=user, item=item)

    model = MetaFusion(SMALL).fit(told(problem(0), 3.0, NAN), told(problem(1), 3.0, NAN))
    expected = model.forward(told(problem(2), 3.0, NAN).signals).score
    for constant, never in ((-1e9, 4.0), (NAN, 0.0), (0.0, NAN)):
        found = model.forward(told(problem(2), constant, never).signals).score
        np.testing.assert_array_equal(found, expected)


def test_a_canary_that_training_never_saw_gives_no_lift() -> None:
    """A column with the answer in it, filled only where models are judged."""

    def told(labelled: LabelledSignals, answers: bool) -> LabelledSignals:
        assert labelled.signals.item is not None
        item = labelled.signals.item.copy()
        item[:, :, 1] = labelled.relevant if answers else NAN
        return with_signals(labelled, item=item)

    model = MetaFusion(SMALL).fit(told(problem(0), answers=False), told(problem(1), answers=True))
    honest, canary = (
        model.forward(told(problem(2), answers=answers).signals).score for answers in (False, True)
    )
    np.testing.assert_array_equal(canary, honest)
    # Where training does see it, it does lift: the test above could fail.
    told_all = MetaFusion(LEARNS).fit(
        told(problem(0), answers=True), told(problem(1), answers=True)
    )
    test = told(problem(2), answers=True)
    assert quality(told_all.forward(test.signals).score, test) > quality(canary, test) + 0.05


def test_more_requests_than_are_answered_together_are_all_answered(meta: MetaFusion) -> None:
    many = problem(3, n=150)
    fused = meta.forward(many.signals)
    promises(fused, many.signals)
    for place in (0, 63, 64, 128, 149):
        alone = meta.forward(many.signals.take(np.array([place])))
        np.testing.assert_allclose(alone.score[0], fused.score[place], rtol=1e-5, atol=1e-6)


def test_wider_lists_change_nothing(meta: MetaFusion) -> None:
    given = problem(2).signals

    def wide(array: Floats | None, fill: float = NAN) -> Any:
        assert array is not None
        room = [(0, 0), (0, 5)] + [(0, 0)] * (array.ndim - 2)
        return np.pad(array, room, constant_values=fill)

    wider = replace(
        given,
        score=wide(given.score),
        mask=np.pad(given.mask, [(0, 0), (0, 5)]),
        reciprocal_rank=wide(given.reciprocal_rank),
        item=wide(given.item),
    )
    found = meta.forward(wider).score
    assert np.isnan(found[:, 12:]).all()
    np.testing.assert_allclose(found[:, :12], meta.forward(given).score, rtol=1e-5, atol=1e-6)


def test_a_wanted_candidate_that_no_base_can_score_teaches_nothing() -> None:
    def with_ghost(wanted: bool) -> LabelledSignals:
        labelled = problem(0)
        score, rank = labelled.signals.score.copy(), np.array(labelled.signals.reciprocal_rank)
        score[:, 0], rank[:, 0] = NAN, NAN
        relevant = labelled.relevant.copy()
        relevant[:, 0] = wanted
        return replace(with_signals(labelled, score=score, reciprocal_rank=rank), relevant=relevant)

    one, other = (MetaFusion(SMALL).fit(with_ghost(w), problem(1)).state() for w in (False, True))
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


# -- the residual is reported ----------------------------------------------------------


def test_the_score_is_the_weighted_say_of_the_bases_plus_the_residual(meta: MetaFusion) -> None:
    bare = MetaFusion(SMALL.changed(residual=False)).fit(problem(0), problem(1))
    given = problem(2).signals
    fused = bare.forward(given)
    assert fused.residual is not None
    assert (fused.residual[~np.isnan(fused.residual)] == 0).all()
    rest = meta.forward(given).residual
    assert rest is not None
    assert (np.isnan(rest) == ~given.available.any(axis=-1)).all()
    assert (rest[~np.isnan(rest)] != 0).any()


# -- refusing --------------------------------------------------------------------------


def test_before_it_has_learned_it_says_so() -> None:
    with pytest.raises(NotFittedError, match="meta has not been fitted"):
        MetaFusion().forward(problem().signals)
    with pytest.raises(NotFittedError, match="meta has not been fitted"):
        MetaFusion().state()


def test_infinite_scores_are_named() -> None:
    score = problem(0).signals.score.copy()
    score[2, 3, 1] = np.inf
    with pytest.raises(DataError, match='meta: base "b1" gives infinite scores'):
        MetaFusion(SMALL).fit(with_signals(problem(0), score=score), problem(1))


def test_signals_without_context_are_refused() -> None:
    bare = with_signals(problem(0), user=None, item=None, columns=Columns(("b0", "b1", "b2")))
    with pytest.raises(DataError, match="meta weighs bases by ranks and context"):
        make_fusion("meta").fit(bare, bare)


def test_context_that_is_gone_after_the_fit_is_an_error(meta: MetaFusion) -> None:
    with pytest.raises(DataError, match="weighs bases by ranks and context"):
        meta.forward(replace(problem(2).signals, user=None))


def test_nothing_that_a_base_can_score_is_nothing_to_learn() -> None:
    score = np.where(problem(0).relevant[:, :, None], NAN, problem(0).signals.score)
    with pytest.raises(DataError, match="meta: no base can score a wanted candidate"):
        MetaFusion(SMALL).fit(with_signals(problem(0), score=score), problem(1))


def test_lists_nobody_wants_anything_of_stop_no_training() -> None:
    nothing = replace(problem(1), relevant=np.zeros_like(problem(1).relevant))
    model = MetaFusion(SMALL).fit(problem(0), nothing)
    signals: Signals = problem(2).signals
    assert np.isfinite(model.forward(signals).score[signals.available.any(axis=-1)]).all()
    assert (
        list_ndcg(
            model.forward(signals).score, problem(2).relevant, problem(2).n_relevant, 10
        ).mean()
        > 0
    )


def test_the_defaults_are_what_they_are_said_to_be() -> None:
    config = GateConfig()
    assert (config.hidden, config.n_layers, config.user_dim, config.item_dim) == (128, 3, 64, 32)
