from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from crossfade.config import Settings
from crossfade.data import Dataset, Queries, Taste
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.errors import ConfigError
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.meta import blending
from crossfade.meta.blending import Blend, BlendChoice, BlendConfig, fit_bases, tune_blend
from crossfade.progress import reporting_to
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.testing import checkerboard
from crossfade.types import Arrays, Floats

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}


class Spy(Recommender[Settings]):
    """A base that remembers the newest event it learned from and when it was asked."""

    name = "spy"
    Config = Settings
    log: ClassVar[list[tuple[str, int]]] = []

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        assert dataset.time_us is not None
        self.log.append(("fitted", int(dataset.time_us[-1])))

    def _score(self, queries: Queries) -> Floats:
        assert queries.as_of_us is not None
        assert queries.time_us is not None
        self.log.append(("asked", int(queries.as_of_us.min())))
        self.log.append(("history", int(queries.time_us.max(initial=0))))
        return np.zeros((len(queries), queries.n_items), dtype=np.float32)

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        pass


@pytest.mark.parametrize("protocol", ["time", "repeat"])
def test_no_base_ever_saw_the_block_it_is_scored_on(
    protocol: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECOMMENDERS, "spy", Spy)
    monkeypatch.setattr(Spy, "log", [])
    data = checkerboard(60)
    plan = make_plan(data, ProtocolConfig(name=protocol), seed=0)
    tune_blend(plan, {"spy": {}, "popularity": {}}, BlendConfig(min_requests=1), seed=0)
    kinds = [kind for kind, _ in Spy.log]
    assert kinds == ["fitted", "asked", "history"] * 2  # the fuse block, then the calibrate block
    for block in (Spy.log[:3], Spy.log[3:]):
        (_, learned_until), (_, asked_from), (_, history_until) = block
        assert learned_until < asked_from
        if protocol == "time":
            assert history_until < asked_from
    assert Spy.log[0][1] < Spy.log[3][1]


# -- do no harm ------------------------------------------------------------------------


def labelled(*bases: Sequence[Sequence[float]]) -> LabelledSignals:
    """Requests over some items, of which the first is wanted."""
    score = np.stack([np.array(base, dtype=np.float32) for base in bases], axis=-1)
    shape = score.shape[:2]
    relevant = np.zeros(shape, dtype=np.bool_)
    relevant[:, 0] = True
    rows = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    return LabelledSignals(
        Signals(score, np.ones(shape, dtype=np.bool_)), rows, relevant, np.ones(shape[0])
    )


# Each base is right about one request and less wrong about the other: together always right.
FUSE = labelled([[2, 0, 0], [0, 1, 0], [2, 0, 0]], [[0, 1, 0], [2, 0, 0], [2, 0, 0]])
FIRST_IS_RIGHT = labelled([[1, 0, 0], [1, 0, 0]], [[0, 9, 9], [0, 9, 9]])
FIRST_IS_WRONG = labelled([[0, 9, 9], [0, 9, 9]], [[1, 0, 0], [1, 0, 0]])


def choose(calibrate: LabelledSignals, monkeypatch: pytest.MonkeyPatch) -> BlendChoice:
    blocks = {"fuse": FUSE, "calibrate": calibrate}

    def signals(block: str, *_: Any) -> dict[str, LabelledSignals]:
        return dict.fromkeys(("zscore", "reciprocal_rank"), blocks[block])

    monkeypatch.setattr(blending, "_signals", signals)
    plan: Any = SimpleNamespace(fuse="fuse", calibrate="calibrate", flags=("as told",))
    bases = {"first": {"model": "item_knn"}, "second": {"model": "popularity"}}
    return tune_blend(plan, bases, BlendConfig(min_requests=1), seed=0)


def test_a_blend_that_loses_on_the_calibrate_block_gives_way_to_the_best_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = choose(FIRST_IS_RIGHT, monkeypatch)
    assert choice.best_base == "first"
    assert choice.calibrate_blend < choice.calibrate_base == 1.0
    assert not choice.kept
    assert choice.weights == {"first": 1.0, "second": 0.0}
    assert choice.flags == ("as told",)
    assert choice.prior == "second"  # the only one that serves people without a history


def test_a_blend_that_holds_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose(FUSE, monkeypatch)
    assert choice.kept
    assert choice.calibrate_blend == 1.0 > choice.calibrate_base
    assert min(choice.weights.values()) > 0
    assert sum(choice.weights.values()) == pytest.approx(1)


def test_too_few_requests_tune_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same blocks that let the blend serve when three requests are said to be enough.
    monkeypatch.setattr(blending, "_signals", lambda *_: dict.fromkeys(blending.SCALINGS, FUSE))
    plan: Any = SimpleNamespace(fuse="fuse", calibrate="calibrate", flags=())
    bases = {"first": {"model": "item_knn"}, "second": {"model": "popularity"}}
    choice = tune_blend(plan, bases, BlendConfig(min_requests=4), seed=0)
    assert not choice.kept
    assert choice.weights == {"first": 1.0, "second": 0.0}
    (flag,) = choice.flags
    assert flag.startswith("too few requests to tune a blend (3)")


def test_the_scale_is_decided_where_nothing_was_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    # Weights on z-scores look perfect where they were tuned and fail on the next block.
    blocks = {
        "fuse": {"zscore": FUSE, "reciprocal_rank": FUSE},
        "calibrate": {"zscore": FIRST_IS_WRONG, "reciprocal_rank": FUSE},
    }
    monkeypatch.setattr(blending, "_signals", lambda block, *_: blocks[block])
    plan: Any = SimpleNamespace(fuse="fuse", calibrate="calibrate", flags=())
    bases = {"first": {"model": "item_knn"}, "second": {"model": "popularity"}}
    choice = tune_blend(plan, bases, BlendConfig(min_requests=1), seed=0)
    assert choice.scaling == "reciprocal_rank"
    assert choice.calibrate_blend == 1.0


def test_the_best_base_is_named_by_the_fuse_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Picking the winner on the calibrate block would be testing on the training set.
    choice = choose(FIRST_IS_WRONG, monkeypatch)
    assert choice.best_base == "first"


# -- the blend as a scorer -------------------------------------------------------------


class Fixed:
    """A base that gives everybody the same scores."""

    def __init__(self, name: str, scores: Sequence[float]) -> None:
        self.name = name
        self.scores = np.array(scores, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        return np.broadcast_to(self.scores, (len(queries), queries.n_items))


class Silent:
    """A base that must not be asked."""

    name = "silent"

    def score_batch(self, queries: Queries) -> Floats:
        raise AssertionError("a base without weight was asked")


def choice(**weights: float) -> BlendChoice:
    return BlendChoice("zscore", weights, True, "a", 0.0, 0.0)


def test_blended_scores_by_hand() -> None:
    blend = Blend(
        {"a": Fixed("a", [1, 3, np.nan]), "b": Fixed("b", [30, np.nan, 10])},
        choice(a=0.75, b=0.25),
        exclude_seen=False,
    )
    stranger = Queries.of_items([], 3)
    # On the z scale a says −1 and 1, b says 1 and −1.
    np.testing.assert_allclose(blend.score_batch(stranger), [[-0.75 + 0.25, 1, -1]], rtol=1e-6)
    # The weights that acted, of the items that were asked for.
    assert blend.used == ["a", "b"]
    shares = blend.plain_shares(stranger, np.array([2, 0], dtype=np.int32))
    assert shares == [{"b": 1.0}, {"a": 0.75, "b": 0.25}]


def test_the_prior_answers_whom_no_weighted_base_can() -> None:
    bases = {"a": Fixed("a", [np.nan] * 3), "famous": Fixed("famous", [1, 2, 3])}
    stranger = Queries.of_items([], 3)
    alone = replace(choice(a=1.0, famous=0.0), prior=None)
    assert np.isnan(Blend(bases, alone, exclude_seen=False).score_batch(stranger)).all()
    blend = Blend(bases, replace(alone, prior="famous"), exclude_seen=False)
    assert blend.score_batch(stranger).argmax() == 2
    assert blend.plain_shares(stranger, np.array([2], dtype=np.int32)) == [{"famous": 1.0}]


def test_the_prior_stays_silent_where_a_weighted_base_speaks() -> None:
    bases = {"a": Fixed("a", [1, np.nan, np.nan]), "famous": Fixed("famous", [1, 2, 3])}
    blend = Blend(bases, replace(choice(a=1.0, famous=0.0), prior="famous"), exclude_seen=False)
    assert np.isnan(blend.score_batch(Queries.of_items([], 3))).tolist() == [[False, True, True]]


def test_seen_items_get_no_score_and_do_not_touch_the_scale() -> None:
    bases = {"a": Fixed("a", [1, 3, 100])}
    seen = Queries.of_items([2], 3)
    score = Blend(bases, choice(a=1.0), exclude_seen=True).score_batch(seen)
    np.testing.assert_allclose(score, [[-1, 1, np.nan]], rtol=1e-6)
    again = Blend(bases, choice(a=1.0), exclude_seen=False).score_batch(seen)
    assert again.argmax() == 2


def test_a_base_without_weight_is_not_asked() -> None:
    bases: dict[str, Scorer] = {"silent": Silent(), "a": Fixed("a", [1, 2, 3])}
    blend = Blend(bases, choice(a=1.0, silent=0.0), exclude_seen=False)
    assert blend.used == ["a"]
    assert blend.score_batch(Queries.of_items([], 3)).argmax() == 2


@pytest.mark.parametrize("n_requests", [1, 7])
def test_who_else_asks_changes_nothing(n_requests: int) -> None:
    data = checkerboard()
    bases = fit_bases(BASES, data, seed=0)
    blend = Blend(bases, choice(popularity=0.5, item_knn=0.5), exclude_seen=True)
    queries = data.queries(range(n_requests))
    together = blend.score_batch(queries)
    assert together.shape == (n_requests, data.n_items)
    for place in range(n_requests):
        np.testing.assert_array_equal(blend.score_batch(queries.take([place]))[0], together[place])


# -- the whole -------------------------------------------------------------------------


def test_tuning_finds_the_base_that_knows() -> None:
    data = checkerboard(60)
    plan = make_plan(data, ProtocolConfig(name="user"), seed=0)
    choice = tune_blend(plan, BASES, BlendConfig(min_requests=1), seed=0)
    # Popularity cannot tell odd users from even ones.
    assert choice.best_base == "item_knn"
    assert choice.weights["item_knn"] > choice.weights["popularity"]
    assert choice == tune_blend(plan, BASES, BlendConfig(min_requests=1), seed=0)


def test_every_wrong_setting_of_every_base_is_reported() -> None:
    wrong: Any = {"ease": {"l2": -1}, "popularity": {"half_life": 3}, "oracle": {}}
    with pytest.raises(ConfigError) as caught:
        fit_bases(wrong, checkerboard(), seed=0)
    for name in ("ease", "half_life", "oracle"):
        assert name in str(caught.value)


def test_long_work_is_reported() -> None:
    started = []

    class Listener:
        def start(self, task: str, total: int | None) -> None:
            started.append(task)

        def advance(self, task: str, steps: int) -> None:
            pass

        def note(self, task: str, text: str) -> None:
            pass

        def finish(self, task: str) -> None:
            pass

    data = checkerboard(60)
    plan = make_plan(data, ProtocolConfig(name="user"), seed=0)
    with reporting_to(Listener()):
        tune_blend(plan, BASES, BlendConfig(min_requests=1), seed=0)
    for words in ("fit item_knn", "score the fuse block", "tune weights", "score the calibrate"):
        assert any(words in task for task in started)


# -- stated tastes ---------------------------------------------------------------------


class Deaf:
    """Scores the first three of four items; says nothing about the last."""

    name = "deaf"

    def score_batch(self, queries: Queries) -> Floats:
        line = np.array([3, 2, 1, np.nan], dtype=np.float32)
        return np.tile(line, (len(queries), 1))


class Hears:
    """Scores the last three of four items."""

    name = "hears"

    def score_batch(self, queries: Queries) -> Floats:
        line = np.array([np.nan, 1, 2, 3], dtype=np.float32)
        return np.tile(line, (len(queries), 1))


def test_a_stated_taste_is_mixed_in_by_how_little_history_there_is() -> None:
    choice = BlendChoice("zscore", {"deaf": 1.0, "hears": 0.0}, True, "deaf", 0.0, 0.0)
    blend = Blend({"deaf": Deaf(), "hears": Hears()}, choice, exclude_seen=False, taste="hears")
    nobody = Queries.of_items([], 4)
    stating = replace(nobody, tastes=(Taste(("jazz",)),))
    z = np.sqrt(1.5)  # z-scores of 3, 2, 1 are z, 0, -z
    np.testing.assert_allclose(blend.score_batch(nobody)[0], [z, 0, -z, np.nan], rtol=1e-6)
    # 9 of 10 for the taste: item 1 is 0 and -z, item 2 is -z and 0; the others have one voice.
    mixed = blend.score_batch(stating)[0]
    np.testing.assert_allclose(mixed, [z, -0.9 * z, -0.1 * z, z], rtol=1e-5)
    shares = blend.plain_shares(stating, np.arange(4, dtype=np.int32))
    assert shares[0] == {"deaf": 1.0}
    assert shares[1] == pytest.approx({"deaf": 0.1, "hears": 0.9})
    assert shares[3] == {"hears": 1.0}
    # Ten positive events: 9 of 20.
    ten = replace(Queries.of_items([0] * 10, 4), tastes=(Taste(("jazz",)),))
    assert blend.plain_shares(ten, np.array([1], dtype=np.int32))[0] == pytest.approx(
        {"deaf": 0.55, "hears": 0.45}
    )


def test_a_taste_of_one_request_leaves_the_others_of_the_batch_alone() -> None:
    choice = BlendChoice("zscore", {"deaf": 1.0, "hears": 0.0}, True, "deaf", 0.0, 0.0)
    blend = Blend({"deaf": Deaf(), "hears": Hears()}, choice, exclude_seen=False, taste="hears")
    both = replace(Queries.of_items([], 4).take([0, 0]), tastes=(Taste(), Taste(moods=("calm",))))
    scores = blend.score_batch(both)
    np.testing.assert_array_equal(scores[0], blend.score_batch(both.take([0]))[0])
    np.testing.assert_array_equal(scores[1], blend.score_batch(both.take([1]))[0])
    assert np.isnan(scores[0, 3])
    assert not np.isnan(scores[1, 3])
