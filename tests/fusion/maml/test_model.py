"""The fusion model: what it promises before, while and after it adapts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.maml.people import lists, two_tastes

from crossfade.errors import ConfigError, DataError, NotFittedError
from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.maml.config import MamlConfig, Sampling
from crossfade.fusion.maml.model import Maml
from crossfade.fusion.maml.tasks import Episodes, split_list
from crossfade.fusion.static import list_ndcg, tune_static
from crossfade.types import Bools, Doubles

SMALL: dict[str, Any] = {"n_episodes": 400, "meta_batch": 20, "hidden": 8}


@pytest.fixture(scope="module")
def model() -> Maml:
    return Maml(MamlConfig(**SMALL)).fit(two_tastes(60, 1), two_tastes(30, 2), seed=0)


def tasks(seed: int, n_support: int = 5, n: int = 40) -> Episodes:
    people = two_tastes(n, seed)
    return split_list(people, np.random.default_rng(seed), n_support=np.full(n, n_support))


def ndcg(fused: Fused, labelled: LabelledSignals) -> Doubles:
    return list_ndcg(fused.score, labelled.relevant, labelled.n_relevant, 10)


def same(one: Fused, other: Fused) -> None:
    np.testing.assert_array_equal(one.score, other.score)
    np.testing.assert_array_equal(one.weights, other.weights)


def unjudged(labelled: LabelledSignals) -> LabelledSignals:
    """Nothing wanted: validation that cannot choose, so the last epoch stays."""
    return replace(labelled, relevant=np.zeros_like(labelled.relevant))


# -- learning --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["anil", "maml", "fomaml", "meta_sgd"])
def test_five_reactions_tell_which_base_to_trust(algorithm: str) -> None:
    config = MamlConfig(**{**SMALL, "n_episodes": 200}, algorithm=algorithm)
    model = Maml(config).fit(two_tastes(60, 1), two_tastes(30, 2))
    task = tasks(3)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    before = model.forward(task.query.signals)
    after = model.forward_adapted(task.query.signals, adapted)
    assert (ndcg(after, task.query) - ndcg(before, task.query)).mean() > 0.1
    left = np.nanmean(after.weights[:, :, 0], axis=1)
    assert left[::2].mean() > 0.65
    assert left[1::2].mean() < 0.35


def test_more_reactions_move_the_weights_further(model: Maml) -> None:
    moved = []
    for n in (2, 4, 6):
        task = tasks(3, n)
        adapted = model.adapt(task.support.signals, task.support.relevant, n_steps=1)
        start = model.forward(task.query.signals).weights
        after = model.forward_adapted(task.query.signals, adapted).weights
        moved.append(np.nanmean(np.abs(after - start)))
    assert moved[0] < moved[1] < moved[2]


def test_the_start_is_kept_where_no_epoch_is_better_on_validation() -> None:
    # Wanted is what the static blend has on top: nothing can be better there.
    train, people = two_tastes(40, 1), two_tastes(20, 2)
    best = tune_static(train.signals, train.relevant, train.n_relevant).weights + 0.01
    score = people.signals.score @ best
    top = score == score.max(axis=1, keepdims=True)
    validation = replace(people, relevant=top, n_relevant=np.ones(20))
    kept = Maml(MamlConfig(**SMALL)).fit(train, validation).state()
    assert not kept["gate.head_weight"].any()
    assert not kept["gate.head_bias"].any()
    moved = Maml(MamlConfig(**SMALL)).fit(train, unjudged(validation)).state()
    assert moved["gate.head_weight"].any()


def test_equal_seeds_give_equal_models_and_other_seeds_others() -> None:
    config = MamlConfig(**{**SMALL, "n_episodes": 100})
    one, again, other = (
        Maml(config).fit(two_tastes(20, 1), two_tastes(10, 2), seed).state() for seed in (0, 0, 1)
    )
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
    assert any((array != other[name]).any() for name, array in one.items())


def test_learning_uses_no_global_randomness() -> None:
    before = torch.get_rng_state()
    Maml(MamlConfig(**{**SMALL, "n_episodes": 40})).fit(two_tastes(20, 1), two_tastes(10, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_curriculum_changes_what_is_learned() -> None:
    config = MamlConfig(**{**SMALL, "n_episodes": 100})
    easy = config.changed(sampling=Sampling(curriculum=True, easy_share=0.1, ramp=1.0))
    people = two_tastes(40, 1)
    one, other = (Maml(c).fit(people, unjudged(people)).state() for c in (config, easy))
    assert (one["gate.head_bias"] != other["gate.head_bias"]).any()


def test_with_one_wanted_item_per_person_there_is_nothing_to_adapt_to() -> None:
    made = lists([[1, 0, 0]] * 5)
    with pytest.raises(DataError, match="maml: nobody among 5 requests has two wanted candidates"):
        Maml().fit(made, made)


def test_unknown_algorithms_are_refused() -> None:
    with pytest.raises(ConfigError, match="algorithm"):
        MamlConfig(algorithm="reptile")


# -- adapting --------------------------------------------------------------------------


def test_adapting_leaves_the_model_as_it_was(model: Maml) -> None:
    task = tasks(4)
    before = {name: array.copy() for name, array in model.state().items()}
    scores = model.forward(task.query.signals)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    model.forward_adapted(task.query.signals, adapted)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    same(model.forward(task.query.signals), scores)


def test_one_persons_reactions_do_not_touch_anybody_else(model: Maml) -> None:
    task = tasks(4)
    others = task.support.relevant.copy()
    others[0] = np.roll(others[0], 3) & task.support.signals.mask[0]
    one = model.adapt(task.support.signals, task.support.relevant)
    other = model.adapt(task.support.signals, others)
    assert (one.weights["head_bias"][0] != other.weights["head_bias"][0]).any()
    for name in one.weights:
        np.testing.assert_array_equal(one.weights[name][1:], other.weights[name][1:])


def test_alone_or_among_others_a_person_adapts_alike(model: Maml) -> None:
    task = tasks(4)
    together = model.adapt(task.support.signals, task.support.relevant)
    for place in (0, 7):
        only = task.take(np.array([place])).support
        alone = model.adapt(only.signals, only.relevant)
        for name in together.weights:
            np.testing.assert_allclose(
                alone.weights[name][0], together.weights[name][place], rtol=1e-4, atol=1e-5
            )


def test_without_reactions_or_with_too_few_everybody_stays_at_the_start(model: Maml) -> None:
    task = tasks(4, n_support=1)
    nothing: Bools = np.zeros_like(task.support.relevant)
    for relevant in (nothing, task.support.relevant):
        adapted = model.adapt(task.support.signals, relevant)
        assert not adapted.kept.any()
        assert np.isnan(adapted.gain).all()
        same(model.forward_adapted(task.query.signals, adapted), model.forward(task.query.signals))
    eager = Maml(model.config.changed(min_reactions=1))
    eager.__dict__.update({k: v for k, v in vars(model).items() if k != "config"})
    assert eager.adapt(task.support.signals, task.support.relevant).kept.all()


def test_reactions_at_random_are_not_kept_where_they_do_not_foretell_the_held_back_ones(
    model: Maml,
) -> None:
    task = tasks(5, n_support=6)
    honest = model.adapt(task.support.signals, task.support.relevant)
    rng = np.random.default_rng(0)
    random: Bools = rng.permuted(task.support.relevant, axis=1) & task.support.signals.mask
    noisy = model.adapt(task.support.signals, random)
    assert honest.kept.mean() > 0.9
    assert noisy.kept.mean() < 0.6
    judged = noisy.n_reactions >= 2
    assert (noisy.gain[judged & noisy.kept] > 0).all()
    start = model._gate.start()["head_bias"].detach().numpy()  # type: ignore[union-attr]
    assert (noisy.weights["head_bias"][~noisy.kept] == start).all()


def test_the_guard_judges_by_reactions_that_were_held_back(model: Maml) -> None:
    # Adapting to a list lowers its own loss always; to contradicting halves it must not help.
    task = tasks(5, n_support=6)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    assert (adapted.gain[adapted.kept] > 0).all()
    score = task.support.signals.score.copy()
    # Every second wanted candidate is loved by one base and hated by the other, in turn.
    for row, wanted in enumerate(task.support.relevant):
        places = np.flatnonzero(wanted)
        score[row, places[::2]], score[row, places[1::2]] = [3.0, -3.0], [-3.0, 3.0]
    two_folds = Maml(model.config.changed(n_folds=2))
    two_folds.__dict__.update({k: v for k, v in vars(model).items() if k != "config"})
    torn = two_folds.adapt(replace(task.support.signals, score=score), task.support.relevant)
    assert not torn.kept.any()
    assert (torn.gain < 0).all()


def test_a_stronger_pull_and_fewer_steps_keep_people_nearer_to_the_start(model: Maml) -> None:
    task = tasks(4)

    def distance(n_steps: int | None = None, **changes: Any) -> float:
        other = Maml(model.config.changed(**changes))
        other.__dict__.update({k: v for k, v in vars(model).items() if k != "config"})
        adapted = other.adapt(task.support.signals, task.support.relevant, n_steps)
        start = model._gate.start()["head_bias"].detach().numpy()  # type: ignore[union-attr]
        return float(np.abs(adapted.weights["head_bias"] - start).mean())

    assert distance(pull=0.9) < distance()
    assert distance(n_steps=0) == 0.0 < distance(n_steps=1) < distance(n_steps=5) == distance()


# -- serving adapted people ------------------------------------------------------------


def test_people_are_found_by_name_and_strangers_get_the_start(model: Maml) -> None:
    task = tasks(4)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    order = np.random.default_rng(0).permutation(len(task))
    mixed = task.take(order).query.signals
    straight = model.forward_adapted(task.query.signals, adapted)
    np.testing.assert_allclose(
        model.forward_adapted(mixed, adapted).score, straight.score[order], rtol=1e-5, atol=1e-6
    )
    unknown = replace(mixed, user_row=np.full(len(order), -1, dtype=np.int32))
    new = replace(mixed, user_row=np.arange(900, 900 + len(order), dtype=np.int32))
    for strangers in (unknown, new):
        same(model.forward_adapted(strangers, adapted), model.forward_adapted(unknown, adapted))
        np.testing.assert_allclose(
            model.forward_adapted(strangers, adapted).score,
            model.forward(strangers).score,
            rtol=1e-5,
            atol=1e-6,
        )


def test_only_who_adapted_was_adapted_to(model: Maml) -> None:
    task = tasks(4)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    signals = task.query.signals
    assert signals.user_row is not None
    weights = {name: w[:1] for name, w in adapted.weights.items()}
    one = replace(adapted, weights=weights, kept=adapted.kept[:1], user_row=signals.user_row[:1])
    moved = model.adaptation(signals, model.forward_adapted(signals, one)).max(axis=1)
    assert adapted.kept[0]
    assert moved[0] > 0.01
    assert (moved[1:] < 1e-5).all()
    assert (model.adaptation(signals, model.forward(signals)) == 0).all()


def test_where_nobody_is_named_the_place_counts(model: Maml) -> None:
    task = tasks(4)
    adapted = model.adapt(task.support.signals, task.support.relevant)
    nameless = replace(task.query.signals, user_row=None)
    same(
        model.forward_adapted(nameless, adapted), model.forward_adapted(task.query.signals, adapted)
    )
    with pytest.raises(ValueError, match="3 requests cannot be matched with 40 people"):
        model.forward_adapted(nameless.take(np.arange(3)), adapted)


def test_nobody_adapted_and_no_request_are_fine(model: Maml) -> None:
    task = tasks(4)
    empty = task.take(np.zeros(0, dtype=np.int64))
    nobody = model.adapt(empty.support.signals, empty.support.relevant)
    assert len(nobody) == 0
    assert model.forward_adapted(empty.query.signals, nobody).score.shape == (0, 40)
    np.testing.assert_allclose(
        model.forward_adapted(task.query.signals, nobody).score,
        model.forward(task.query.signals).score,
        rtol=1e-5,
        atol=1e-6,
    )


def test_wrong_questions_are_refused(model: Maml) -> None:
    task = tasks(4)
    signals, relevant = task.support.signals, task.support.relevant
    with pytest.raises(ValueError, match=r"relevant is \(40, 39\)"):
        model.adapt(signals, relevant[:, 1:])
    with pytest.raises(ValueError, match="n_steps must be from 0 to 20, got 21"):
        model.adapt(signals, relevant, 21)
    with pytest.raises(ValueError, match="named in two lists"):
        model.adapt(replace(signals, user_row=np.zeros(40, dtype=np.int32)), relevant)
    with pytest.raises(NotFittedError, match="maml"):
        Maml().adapt(signals, relevant)


@pytest.mark.parametrize("algorithm", ["anil", "meta_sgd"])
def test_a_restored_model_adapts_alike(algorithm: Any) -> None:
    config = MamlConfig(**{**SMALL, "n_episodes": 40}, algorithm=algorithm)
    model = Maml(config).fit(two_tastes(20, 1), two_tastes(10, 2))
    again = Maml.restore(model.config.model_dump(), model.state())
    task = tasks(4)
    one, other = (m.adapt(task.support.signals, task.support.relevant) for m in (model, again))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, other.weights[name])
