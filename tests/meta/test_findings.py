"""What an experiment finds beside its table: weights, samples, cost."""

from dataclasses import replace

import numpy as np
import pytest

from crossfade.data import Dataset
from crossfade.data.splits import ProtocolConfig, Trial, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation import EvaluationConfig
from crossfade.meta.blending import Blend, BlendChoice, BlendConfig, fit_bases
from crossfade.meta.config import ExplainConfig
from crossfade.meta.diversity import served_rows
from crossfade.meta.experiment import Experiment, run_experiment
from crossfade.meta.samples import draw_samples
from crossfade.meta.serving import ListMaker
from crossfade.meta.signals import taken
from crossfade.ranking import RankingConfig
from crossfade.types import Csr

BASES: dict[str, dict[str, object]] = {"popularity": {}, "item_knn": {}, "content_knn": {}}
QUICK = EvaluationConfig(resamples=100, flips=100, n_samples=3)
BLEND = BlendConfig(fusion="static", n_candidates=20, min_requests=5, n_earlier_blocks=0)


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500), seed=3).dataset


def run(data: Dataset, protocol: str = "time", seed: int = 0, **changes: object) -> Experiment:
    rules = ProtocolConfig.model_validate({"name": protocol})
    return run_experiment(
        data, BASES, BLEND.changed(**changes), rules, QUICK, fusions=("ridge",), seed=seed
    )


@pytest.fixture(scope="module")
def found(world: Dataset) -> Experiment:
    return run(world)


def test_samples_are_requests_of_the_test_block_with_lists_of_new_items(
    found: Experiment, world: Dataset
) -> None:
    (trial,) = make_plan(world, ProtocolConfig()).tests
    askers = set(world.user_ids.decode(trial.queries.user_row))
    samples = found.findings.samples
    assert len(samples) == len({sample.user_id for sample in samples}) == 3
    lengths = [sample.n_history for sample in samples]
    assert lengths == sorted(lengths)
    for sample in samples:
        assert sample.user_id in askers
        at = trial.queries.user_row.tolist().index(world.user_ids.row(str(sample.user_id)))
        history = trial.queries.take([at]).item_row.tolist()
        wanted = set(world.item_ids.decode(trial.relevant[[at]].indices))
        assert sample.n_history == len(history)
        assert sample.n_wanted == len(wanted)
        listed = [item.item_id for item in sample.items]
        assert not set(world.item_ids.rows(listed).tolist()) & {-1, *history}
        assert [item.wanted for item in sample.items] == [item in wanted for item in listed]


def test_reasons_rest_on_the_history_before_the_test_block(
    found: Experiment, world: Dataset
) -> None:
    (trial,) = make_plan(world, ProtocolConfig()).tests
    cited = 0
    for sample in found.findings.samples:
        row = world.user_ids.row(str(sample.user_id))
        at = trial.queries.user_row.tolist().index(row)
        history = set(world.item_ids.decode(trial.queries.take([at]).item_row))
        for item in sample.items:
            for reason in item.reasons:
                assert set(reason["evidence"]["items"]) <= history
                cited += len(reason["evidence"]["items"])
    assert cited > 0


def test_a_seed_draws_the_same_samples_and_another_others(
    found: Experiment, world: Dataset
) -> None:
    assert run(world).findings.samples == found.findings.samples
    others = run(world, seed=7).findings.samples
    assert [one.user_id for one in others] != [one.user_id for one in found.findings.samples]


def test_the_landscape_counts_every_candidate_of_the_block(found: Experiment) -> None:
    landscape = found.findings.landscape
    assert landscape is not None
    assert landscape.model == "static"
    assert sum(one.n for one in landscape.by_history) == landscape.n > 0
    assert sum(one.n for one in landscape.by_age) == landscape.n
    n_requests = sum(one.n_requests for one in landscape.by_history)
    assert n_requests == found.evaluation.about.n_requests
    # It is measured in the same pass as the table of weights.
    assert found.trust is not None
    assert landscape.n == found.trust.weights[0].n


def test_no_ranking_finds_more_than_its_candidates_hold(found: Experiment, world: Dataset) -> None:
    candidates = found.findings.candidates
    assert candidates is not None
    (trial,) = make_plan(world, ProtocolConfig()).tests
    assert candidates.whole.n == trial.relevant.nnz
    assert found.evaluation.mean("static", "recall@20") <= candidates.whole.recall < 1
    deep = run(world, n_candidates=80).findings.candidates
    assert deep is not None
    allowed = trial.relevant.toarray()[:, trial.candidates] > 0
    shares = allowed.sum(axis=1) / np.diff(trial.relevant.indptr)
    # Where every base proposes all it can score, only unknown items are lost; each user asks once.
    assert deep.whole.recall == pytest.approx(shares.mean())
    assert candidates.whole.recall < deep.whole.recall


def test_the_diversity_curve_begins_at_the_order_by_score(found: Experiment) -> None:
    curve = found.findings.diversity
    assert curve is not None
    assert curve.n_requests == found.evaluation.about.n_requests
    plain, *_, most = curve.points
    assert plain.ndcg.mean == pytest.approx(found.evaluation.mean("static", "ndcg@10"))
    assert most.diversity.mean > plain.diversity.mean


def test_a_catalogue_without_genres_is_evaluated_without_a_diversity_curve(world: Dataset) -> None:
    bare = replace(world, items=world.items.drop("genres"))
    found = run(bare)
    assert found.findings.diversity is None
    assert found.findings.samples


def test_what_is_hidden_from_a_request_is_on_none_of_its_lists(world: Dataset) -> None:
    (trial,) = make_plan(world, ProtocolConfig()).tests
    trial = taken(trial, np.arange(3))
    bases = fit_bases({"popularity": {}}, trial.train, 0)
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    maker = ListMaker(trial.train, Blend(bases, choice, True, trial.candidates), None)
    usual = served_rows(maker, trial, RankingConfig(), 5)
    hidden = np.zeros(trial.relevant.shape, np.float32)
    hidden[1, usual[1, 0]] = 1
    without = served_rows(maker, replace(trial, hidden=Csr(hidden)), RankingConfig(), 5)
    assert usual[1, 0] not in without[1]
    np.testing.assert_array_equal(without[[0, 2]], usual[[0, 2]])


def test_a_model_without_weights_has_samples_and_an_empty_landscape(world: Dataset) -> None:
    found = run(world, fusion="ridge").findings
    assert found.landscape is not None
    assert found.landscape.by_history == ()
    assert found.landscape.n_without > 0
    assert len(found.samples) == 3


def test_where_too_few_ask_static_lists_are_shown_and_nothing_is_weighed(world: Dataset) -> None:
    found = run(world, min_requests=10_000).findings
    assert found.landscape is None
    assert found.candidates is None
    assert found.trust is None
    assert sum(found.static.values()) == pytest.approx(1)
    assert [sample.by_model for sample in found.samples] == [False] * 3
    assert all(sample.items for sample in found.samples)


def test_hidden_items_are_on_no_list(world: Dataset) -> None:
    (trial,) = make_plan(world, ProtocolConfig()).tests
    bases = fit_bases({"popularity": {}}, trial.train, 0)
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    blend = Blend(bases, choice, trial.exclude_seen, trial.candidates)

    def firsts(asked: Trial) -> list[str]:
        words = ExplainConfig()
        samples = draw_samples(asked, bases, blend, None, words, n=3, seed=0)
        return [sample.items[0].item_id for sample in samples]

    hidden = np.zeros(trial.relevant.shape, np.float32)
    hidden[:, world.item_ids.rows(firsts(trial))] = 1
    assert not set(firsts(trial)) & set(firsts(replace(trial, hidden=Csr(hidden))))


def test_cost_knows_every_base_every_model_and_the_data(found: Experiment, world: Dataset) -> None:
    cost = found.findings.cost
    assert cost is not None
    assert (cost.n_events, cost.n_users) == (world.n_events, world.n_users)
    names = {step.name: step for step in cost.steps}
    for base in BASES:
        # Once for each block that is learned from, once for the test block.
        assert names[f"fit {base} on N events"].times >= 3
        assert names[f"score with {base}"].inside == "evaluate test"
    assert {"learn ridge from N lists", "learn static from N lists", "score with ridge"} <= set(
        names
    )
    outer = sum(step.seconds for step in cost.steps if step.inside is None)
    assert 0 < outer <= cost.seconds
