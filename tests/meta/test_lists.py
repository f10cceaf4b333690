"""A fusion model as a scorer: its lists, its shares, and who answers where it cannot."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossfade.arrays import top_k
from crossfade.data import Dataset, Queries, Taste
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.fusion.base import Fused, FusionModel
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.scaling import zscore
from crossfade.meta.blending import Blend, BlendChoice, BlendConfig, fit_bases
from crossfade.meta.chain import Material, gather
from crossfade.meta.context import ContextReader
from crossfade.meta.listing import list_candidates
from crossfade.meta.lists import FusedScorer, ListBuilder, SharedLists
from crossfade.meta.track import TrackRecord
from crossfade.training.config import TrainConfig
from crossfade.types import Floats

BASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {},
    "genre_popularity": {},
}
GATE = GateConfig(
    hidden=8, n_layers=2, user_dim=4, item_dim=4, train=TrainConfig(epochs=2, lr=0.01)
)


@pytest.fixture(scope="module")
def world() -> Dataset:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    return make_world(config, seed=3).dataset


@pytest.fixture(scope="module")
def material(world: Dataset) -> Material:
    plan = make_plan(world, ProtocolConfig(), seed=0)
    return gather(plan, BASES, BlendConfig(n_candidates=10, n_earlier_blocks=1), seed=0)


@pytest.fixture(scope="module")
def meta(material: Material) -> MetaFusion:
    return MetaFusion(GATE).fit(material.train, material.calibrate)


@pytest.fixture(scope="module")
def bases(world: Dataset) -> dict[str, Any]:
    return dict(fit_bases(BASES, world, 0))


@pytest.fixture(scope="module")
def lists(world: Dataset, bases: dict[str, Any], material: Material) -> ListBuilder:
    reader = ContextReader(world, tuple(bases), material.track, material.environment)
    return ListBuilder(bases, reader, True, None, 10)


@pytest.fixture
def scorer(lists: ListBuilder, meta: MetaFusion) -> FusedScorer:
    return FusedScorer("meta", meta, lists)


class Counting:
    """A builder or a model that counts how often it is asked."""

    def __init__(self, inside: Any) -> None:
        self.inside, self.n = inside, 0
        self.columns = inside.columns

    def build(self, queries: Queries) -> Any:
        self.n += 1
        return self.inside.build(queries)

    def forward(self, signals: Any) -> Any:
        self.n += 1
        return self.inside.forward(signals)


# -- scores ----------------------------------------------------------------------------


def test_scores_are_those_of_the_model_in_the_places_of_the_candidates(
    world: Dataset, scorer: FusedScorer, meta: MetaFusion, lists: ListBuilder
) -> None:
    queries = world.queries(range(7))
    found = scorer.score_batch(queries)
    assert found.shape == (7, world.n_items)
    signals, item_row = lists.build(queries)
    assert signals.columns == lists.columns == meta.columns
    fused = meta.forward(signals).score
    for row in range(7):
        expected = {int(i): s for i, s in zip(item_row[row], fused[row], strict=True) if i >= 0}
        there = np.flatnonzero(~np.isnan(found[row]))
        assert set(there.tolist()) == set(expected)
        assert [found[row, place] for place in there] == [expected[int(p)] for p in there]


def test_what_was_met_is_not_listed(world: Dataset, scorer: FusedScorer) -> None:
    queries = world.queries(range(7))
    found = scorer.score_batch(queries)
    assert np.isnan(found[queries.owner, queries.item_row]).all()


def test_one_request_gets_what_it_gets_in_a_batch_and_in_the_same_order(
    world: Dataset, scorer: FusedScorer
) -> None:
    queries = world.queries(range(40))
    together = scorer.score_batch(queries)
    for place in range(40):
        alone = scorer.score_batch(queries.take([place]))[0]
        np.testing.assert_allclose(alone, together[place], rtol=1e-6, atol=1e-6)
        assert top_k(alone[None], 10).tolist() == top_k(together[place][None], 10).tolist()


@pytest.mark.parametrize("items", [[], [3, 7]])
def test_strangers_are_answered(world: Dataset, scorer: FusedScorer, items: list[int]) -> None:
    stranger = Queries.of_items(items, world.n_items)
    assert stranger.user_row.tolist() == [-1]
    found = scorer.score_batch(stranger)
    assert np.isfinite(found).sum() >= 10
    assert np.isnan(found[0, items]).all()


# -- asked once ------------------------------------------------------------------------


def test_shared_lists_are_built_once_for_the_same_requests(
    world: Dataset, lists: ListBuilder
) -> None:
    shared = SharedLists(Counting(lists))  # type: ignore[arg-type]
    one, other = world.queries([1, 2]), world.queries([1, 2])
    first = shared.build(one)
    assert shared.build(one) is first
    assert shared.builder.n == 1  # type: ignore[attr-defined]
    again = shared.build(other)
    assert shared.builder.n == 2  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again[1], first[1])


def test_threads_get_their_own_answers(world: Dataset, scorer: FusedScorer) -> None:
    queries = [world.queries([user]) for user in range(4)]
    expected = [scorer.score_batch(query) for query in queries]

    def ask(turn: int) -> bool:
        return np.array_equal(
            scorer.score_batch(queries[turn % 4]), expected[turn % 4], equal_nan=True
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(100)))


# -- who answers otherwise -------------------------------------------------------------


class Fixed:
    """A base that gives everybody the same scores, or strangers none."""

    def __init__(self, name: str, scores: Sequence[float], strangers: bool = True) -> None:
        self.name, self.strangers = name, strangers
        self.scores = np.array(scores, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        out = np.tile(self.scores, (len(queries), 1))
        if not self.strangers:
            out[np.diff(queries.indptr) == 0] = np.nan
        return out


class Mean(FusionModel[Any]):
    """Scores by the mean of the bases, upside down, so that it shows who answered."""

    name = "mean"
    Config = GateConfig

    def _fit(self, *_: Any) -> None: ...

    def forward(self, signals: Any) -> Any:
        there = signals.available
        n = there.sum(axis=-1, keepdims=True)
        weights = np.where(n > 0, there / np.maximum(n, 1), np.nan).astype(np.float32)
        score = -np.where(there, signals.score, 0).sum(axis=-1) / np.maximum(n[..., 0], 1)
        return Fused(np.where(n[..., 0] > 0, score, np.nan).astype(np.float32), weights)

    def _state(self) -> Any:
        return {}

    def _restore(self, state: Any) -> None: ...


CHOICE = BlendChoice("zscore", {"knows": 1.0, "famous": 0.0}, True, "knows", 0.0, 0.0, "famous")


@pytest.fixture
def small(timed: Dataset) -> tuple[dict[str, Any], FusedScorer]:
    """A base for people with a history and a popular list, which is the prior, over five songs."""
    bases: dict[str, Any] = {
        "knows": Fixed("knows", [5, 4, 3, 2, np.nan], strangers=False),
        "famous": Fixed("famous", [1, 2, 3, 4, 5]),
    }
    alone = {"knows": bases["knows"]}
    track = TrackRecord.empty(timed.n_users, 1)
    reader = ContextReader(timed, tuple(alone), track)
    return bases, FusedScorer("mean", Mean(), ListBuilder(alone, reader, False, None, 10))


def answered_by_model(blend: Blend, query: Queries) -> bool:
    """Whether the learned model answers one request, and neither static weights nor the prior."""
    return bool(list_candidates(blend, query, None).by_model[0])


def test_where_no_base_answers_the_prior_does(small: Any) -> None:
    bases, scorer = small
    blend = Blend(bases, CHOICE, False, learned=scorer, name="mean")
    nobody = Queries.of_items([], 5)
    assert np.isnan(scorer.score_batch(nobody)).all()
    assert not answered_by_model(blend, nobody)
    rows = np.arange(5, dtype=np.int32)
    np.testing.assert_array_equal(blend.score_batch(nobody), zscore(bases["famous"].scores[None]))
    assert blend.plain_shares(nobody, rows) == [{"famous": 1.0}] * 5
    silent = Blend(bases, replace(CHOICE, prior=None), False, learned=scorer)
    assert np.isnan(silent.score_batch(nobody)).all()
    assert silent.plain_shares(nobody, rows) == [{}] * 5


def test_where_a_base_answers_the_model_does_and_the_prior_stays_silent(small: Any) -> None:
    bases, scorer = small
    blend = Blend(bases, CHOICE, False, learned=scorer, name="mean")
    someone = Queries.of_items([4], 5)
    assert answered_by_model(blend, someone)
    found = blend.score_batch(someone)
    assert np.nanargmax(found) == 3  # upside down
    assert np.isnan(found[0, 4])
    listed = list_candidates(blend, someone, None)
    assert listed.weights is not None
    assert listed.item_row[0, :4].tolist() == [0, 1, 2, 3]  # what it cannot score is no candidate
    assert listed.weights[0, :4].tolist() == [[1.0]] * 4


def test_a_model_without_a_score_is_answered_for_by_the_prior_and_not_by_other_weights(
    small: Any,
) -> None:
    """Bases that speak do not mean that the model gave the list."""
    bases, scorer = small

    class Mute(Mean):
        def forward(self, signals: Any) -> Any:
            fused = super().forward(signals)
            return replace(fused, score=np.full_like(fused.score, np.nan))

    mute = FusedScorer("mute", Mute(), scorer.lists)
    blend = Blend(bases, CHOICE, False, learned=mute)
    someone = Queries.of_items([4], 5)
    np.testing.assert_array_equal(blend.score_batch(someone), zscore(bases["famous"].scores[None]))
    assert blend.plain_shares(someone, np.array([1], dtype=np.int32)) == [{"famous": 1.0}]
    assert not answered_by_model(blend, someone)


def test_who_names_a_taste_is_answered_by_the_static_blend(small: Any) -> None:
    bases, scorer = small
    learned = Blend(bases, CHOICE, False, taste="famous", learned=scorer)
    static = Blend(bases, CHOICE, False, taste="famous")
    one = Queries.of_items([4], 5)
    both = replace(one.take([0, 0]), tastes=(Taste(), Taste(genres=("jazz",))))
    plain, stating = both.take([0]), both.take([1])
    assert not answered_by_model(learned, stating)
    assert answered_by_model(learned, plain)
    np.testing.assert_array_equal(learned.score_batch(stating), static.score_batch(stating))
    rows = np.arange(5, dtype=np.int32)
    assert learned.plain_shares(stating, rows) == static.plain_shares(stating, rows)
    # Each of a mixed batch goes its own way.
    mixed = learned.score_batch(both)
    np.testing.assert_array_equal(mixed[0], scorer.score_batch(plain)[0])
    np.testing.assert_array_equal(mixed[1], static.score_batch(stating)[0])
