"""What a blend says against what was wanted, counted by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from crossfade.calibration.conformal import ConformalSets
from crossfade.calibration.platt import PlattScaling
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation import EvaluationConfig
from crossfade.evaluation.trust import Trust
from crossfade.fusion.base import Columns, Fused, LabelledSignals, Signals
from crossfade.meta.answers import Answers
from crossfade.meta.blending import BlendConfig
from crossfade.meta.experiment import run_experiment
from crossfade.meta.probability import Probability
from crossfade.meta.trust import trust_of
from crossfade.types import Floats

BASES = ("ease", "popularity")
COLUMNS = Columns(BASES, ("log_positives",), ("log_age_days",))


def block(n: int = 120, length: int = 40) -> LabelledSignals:
    """Candidates wanted with log-odds of their score, by newcomers and regulars in turn."""
    rng = np.random.default_rng(0)
    score = rng.normal(-1, 1, size=(n, length, 1)).astype(np.float32)
    user = np.log1p(np.where(np.arange(n) % 2, 100.0, 3.0)).astype(np.float32)[:, None]
    age = np.where(np.arange(length) < 10, 3.0, 400.0)
    item = np.broadcast_to(np.log1p(age), (n, length))[..., None].astype(np.float32)
    wanted = rng.random((n, length)) < expit(score[:, :, 0])
    signals = Signals(
        np.repeat(score, 2, axis=2),
        np.ones((n, length), bool),
        user=user,
        item=item,
        columns=COLUMNS,
    )
    rows = np.broadcast_to(np.arange(length, dtype=np.int32), (n, length))
    return LabelledSignals(signals, rows, wanted, wanted.sum(axis=1).astype(np.float64))


def fused(lists: LabelledSignals, **more: Any) -> Fused:
    weights = np.broadcast_to(np.array([0.75, 0.25], np.float32), lists.signals.score.shape)
    return Fused(lists.signals.score[:, :, 0], weights, **more)


@pytest.fixture(scope="module")
def lists() -> LabelledSignals:
    return block()


@pytest.fixture(scope="module")
def probability() -> Probability:
    learned = block(n=600)
    score = learned.signals.score[:, :, 0]
    everywhere = ConformalSets(0.1, np.zeros(0, np.int64), np.array([-np.inf]))
    kinds = ConformalSets(0.1, np.array([1, 3]), np.array([2.0, -np.inf]))
    calibrator = PlattScaling().fit(score, learned.relevant)
    return Probability(calibrator, sets=everywhere, sets_by_history=kinds)


@pytest.fixture(scope="module")
def trust(lists: LabelledSignals, probability: Probability) -> Trust:
    said = fused(lists, confidence=np.where([True, False], expit(lists.signals.score), np.nan))
    answers = Answers.of([(lists, said)], probability)
    return trust_of("auto", answers, probability, BASES, seed=0)


def test_rows_are_of_everybody_each_history_and_each_item_age(
    trust: Trust, lists: LabelledSignals
) -> None:
    found = {row.title: row for row in trust.rows}
    assert list(found) == [
        "all users",
        "cold users",
        "hot users",
        "items younger than 30 days",
        "items 30 days or older",
    ]
    assert (found["all users"].n, found["all users"].n_requests) == (4_800, 120)
    assert found["hot users"].n_requests == 60
    assert found["items younger than 30 days"].n == 1_200
    share = lists.relevant[:, :10].mean()
    assert found["items younger than 30 days"].share == pytest.approx(share)
    error = found["all users"].calibration_error
    assert error is not None
    assert abs(error["debiased"]) < 0.02


def test_parts_are_requests_of_their_own(lists: LabelledSignals, probability: Probability) -> None:
    halves = [lists.take(np.arange(60)), lists.take(np.arange(60, 120))]
    parted = Answers.of([(half, fused(half)) for half in halves], probability)
    whole = Answers.of([(lists, fused(lists))], probability)
    for key, array in vars(whole).items():
        np.testing.assert_array_equal(getattr(parted, key), array)


def test_what_has_no_score_is_no_candidate(
    lists: LabelledSignals, probability: Probability
) -> None:
    said = fused(lists)
    score = said.score.copy()
    score[:, 5:] = np.nan
    answers = Answers.of([(lists, Fused(score, said.weights))], probability)
    assert len(answers.wanted) == 120 * 5
    assert answers.shown.all()


def test_the_ten_best_of_each_list_are_shown(
    lists: LabelledSignals, probability: Probability
) -> None:
    answers = Answers.of([(lists, fused(lists))], probability)
    shown = answers.shown.reshape(120, 40)
    assert (shown.sum(axis=1) == 10).all()
    chance = answers.probability.reshape(120, 40)
    assert (np.where(shown, chance, 1).min(axis=1) >= np.where(shown, 0, chance).max(axis=1)).all()


def test_a_longer_block_makes_everything_likelier(
    lists: LabelledSignals, probability: Probability
) -> None:
    once, twice = (
        Answers.of([(lists, fused(lists))], probability, blocks).probability
        for blocks in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice, 1 - (1 - once) ** 2)


def test_coverage_counts_what_is_inside_for_each_promise(
    trust: Trust, lists: LabelledSignals
) -> None:
    found = {(row.promise, row.name): row for row in trust.coverage}
    assert found["everybody together", "all"].share == 1
    # No probability reaches the 2 of newcomers; regulars get every candidate.
    assert found["each history", "cold"].share == 0
    hot = found["each history", "hot"]
    assert (hot.share, hot.mean_size, hot.mean_candidates) == (1, 40, 40)
    assert hot.n_wanted == lists.relevant[1::2].sum()


def test_unlikely_things_shown_are_missed_more(trust: Trust, lists: LabelledSignals) -> None:
    shown, agreeing, everything, _ = trust.sorting
    assert agreeing.uncertainty == "disagreement of the bases"
    assert np.isnan(agreeing.spearman)  # both bases say the same throughout
    assert shown.n == 1_200
    assert shown.low > 0
    assert shown.ratio < 0.9
    assert everything.n == 4_800
    assert [risk.name for risk in trust.risks] == ["by probability"]
    # At full coverage everything shown counts.
    best = np.argsort(-lists.signals.score[:, :, 0], axis=1)[:, :10]
    hits = np.take_along_axis(lists.relevant, best, axis=1).mean()
    assert trust.risks[0].risk[-1] == pytest.approx(1 - hits)


def test_the_spread_of_models_is_measured_where_they_state_one(
    lists: LabelledSignals, probability: Probability
) -> None:
    wrong = np.abs(lists.relevant - expit(lists.signals.score[:, :, 0])).astype(np.float32)
    answers = Answers.of([(lists, fused(lists, uncertainty=wrong))], probability)
    found = trust_of("auto", answers, probability, BASES, seed=0)
    spread = next(
        row for row in found.sorting if row.error.startswith("squared") and "spread" in row.text
    )
    assert spread.spearman > 0.99
    assert [risk.name for risk in found.risks] == ["by probability", "by spread of models"]


def test_what_guesses_add_is_measured_where_they_move_a_score(
    lists: LabelledSignals, probability: Probability
) -> None:
    wrong = np.abs(lists.relevant - expit(lists.signals.score[:, :, 0])).astype(np.float32)
    said = fused(lists, uncertainty=np.full_like(wrong, 0.3))

    def found(doubt: Any) -> list[Any]:
        answers = Answers.of([(lists, said)], probability, doubt=doubt)
        return list(trust_of("auto", answers, probability, BASES, seed=0).sorting)

    rows = {(row.uncertainty, row.error): row for row in found(lambda _: wrong)}
    # Beside a constant, what guesses say decides the order alone.
    for name in ("spread from guessed audio values", "both together"):
        assert rows[name, "squared error of all"].spearman > 0.99
        assert rows[name, "what is shown and not wanted"].n == 1_200
    assert len(rows) == 10
    for silent in (None, lambda _: None, lambda _: np.zeros_like(wrong)):
        assert len(found(silent)) == 6


def test_bases_that_part_where_the_blend_is_wrong_sort_its_errors(
    lists: LabelledSignals, probability: Probability
) -> None:
    wrong = np.abs(lists.relevant - expit(lists.signals.score[:, :, 0])).astype(np.float32)
    apart = np.stack([-wrong, wrong], axis=-1)
    parted = replace(lists, signals=replace(lists.signals, score=apart))
    # What the blend says stays what it was: only the bases part.
    answers = Answers.of([(parted, fused(lists))], probability)
    found = trust_of("auto", answers, probability, BASES, seed=0).sorting
    rows = {(row.uncertainty, row.error): row for row in found}
    assert rows["disagreement of the bases", "squared error of all"].spearman > 0.99


def test_both_together_are_silent_where_either_is(
    lists: LabelledSignals, probability: Probability
) -> None:
    models = np.full(lists.relevant.shape, 0.3, np.float32)
    models[:60] = np.nan
    doubt = np.full(lists.relevant.shape, 0.4, np.float32)
    doubt[:, :10] = np.nan
    answers = Answers.of(
        [(lists, fused(lists, uncertainty=models))], probability, doubt=lambda _: doubt
    )
    found = trust_of("auto", answers, probability, BASES, seed=0).sorting
    counts = {row.uncertainty: row.n for row in found if row.error == "squared error of all"}
    assert counts["spread of models"] == 60 * 40
    assert counts["spread from guessed audio values"] == 120 * 30
    assert counts["both together"] == 60 * 30


def test_weights_are_means_by_slice(trust: Trust) -> None:
    assert [row.name for row in trust.weights] == ["all", "cold", "hot"]
    for row in trust.weights:
        assert row.mean == pytest.approx({"ease": 0.75, "popularity": 0.25})
        assert row.spread == pytest.approx({"ease": 0, "popularity": 0})
        # exp of the entropy of 3/4 and 1/4.
        assert row.speaking == pytest.approx(4 / 3**0.75)


def test_a_model_that_weighs_no_bases_and_states_nothing_has_no_such_rows(
    lists: LabelledSignals, probability: Probability
) -> None:
    nothing: Floats = np.full_like(lists.signals.score, np.nan)
    answers = Answers.of([(lists, Fused(lists.signals.score[:, :, 0], nothing))], probability)
    found = trust_of("trees", answers, probability, BASES, seed=0)
    assert (found.weights, found.confidences) == ((), ())


def test_confidence_is_judged_base_by_base(trust: Trust, lists: LabelledSignals) -> None:
    (ease,) = trust.confidences
    assert (ease.base, ease.n) == ("ease", 4_800)
    assert ease.stated == pytest.approx(expit(lists.signals.score[:, :, 0]).mean(), abs=1e-5)
    assert ease.share == lists.relevant.mean()
    assert ease.calibration_error is not None
    assert abs(ease.calibration_error["debiased"]) < 0.02


@pytest.mark.parametrize(("protocol", "expected"), [("user", 2.0), ("time", 1.0)])
def test_a_protocol_per_user_makes_good_that_its_test_block_is_longer(
    protocol: Any, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    original = Answers.of

    def spy(parts: Any, found: Probability, blocks: float, doubt: Any) -> Answers:
        given.append(blocks)
        return original(parts, found, blocks, doubt)

    monkeypatch.setattr(Answers, "of", spy)
    world = make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500), seed=3).dataset
    experiment = run_experiment(
        world,
        {"popularity": {}, "item_knn": {}},
        BlendConfig(fusion="ridge", n_candidates=20, min_requests=5, n_earlier_blocks=0),
        ProtocolConfig(name=protocol),
        EvaluationConfig(resamples=100, flips=100),
    )
    assert given == [expected]
    assert experiment.trust is not None
    assert experiment.trust.model == "ridge"
    n_requests = len(make_plan(world, ProtocolConfig(name=protocol)).tests[0].queries)
    assert experiment.trust.rows[0].n_requests <= n_requests
