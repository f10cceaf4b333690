"""The outer loss and the guard, against one task after the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fusion.maml.people import lists, two_tastes

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.adapting import HeldBack, held_back
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import adapt
from crossfade.fusion.maml.network import Lists, MamlGate, inner_of, lists_of
from crossfade.fusion.maml.training import ContextReader, TaskBatch, outer_loss
from crossfade.types import Bools, Floats

CONFIG = MamlConfig(hidden=4, inner_lr=0.5)


def gate() -> MamlGate:
    start = np.array([0.7, 0.3], dtype=np.float32)
    made = MamlGate(CONFIG, start, 3, 2.0, np.random.default_rng(0))
    made.head_weight.data.normal_(generator=torch.Generator().manual_seed(0))
    return made


def context(n: int) -> Floats:
    return np.random.default_rng(5).normal(size=(n, 3)).astype(np.float32)


def whole(labelled: LabelledSignals) -> Lists:
    nothing = np.zeros(labelled.relevant.shape, dtype=np.float32)
    return lists_of(labelled, context(len(labelled)), nothing)


def one_of(read: Lists, task: int) -> Lists:
    return Lists(*(part[task] for part in read))


def test_the_outer_loss_mixes_the_loss_after_shrunken_steps_with_that_before() -> None:
    network = gate()
    support, query = whole(two_tastes(5, 1)), whole(two_tastes(5, 2))
    found = outer_loss(network, TaskBatch(support, query), CONFIG)
    # Support losses count n / (n + 5), with 8 reactions each; query losses are not shrunk.
    shares = 8 / (8 + CONFIG.shrink)
    expected = []
    for task in range(5):
        one = one_of(network.read(support), task)._replace(weight=torch.tensor(shares))
        other = one_of(network.read(query), task)
        start = network.start()
        fast = adapt(start, network.loss, one, CONFIG.inner_lr, inner_of(CONFIG))
        after, before = network.loss(fast, other), network.loss(start, other)
        expected.append((1 - CONFIG.unadapted) * after + CONFIG.unadapted * before)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def only(labelled: LabelledSignals, wanted: Bools, out: Bools) -> LabelledSignals:
    """With other wanted candidates, and some candidates taken out of the list."""
    mask = labelled.signals.mask & ~out
    return replace(labelled, signals=replace(labelled.signals, mask=mask), relevant=wanted)


def test_the_guard_judges_each_part_after_adapting_to_the_others_without_knowing_it() -> None:
    network, people = gate(), two_tastes(3, 1, n_items=12, n_wanted=5)
    found = held_back(network, people, context(3), CONFIG, inner_of(CONFIG)).gain
    nothing = np.zeros_like(people.relevant)
    place = np.cumsum(people.relevant, axis=1) - 1
    expected = np.zeros(3)
    for fold in range(CONFIG.n_folds):
        held: Bools = people.relevant & (place % CONFIG.n_folds == fold)
        others: Bools = people.relevant & ~held
        support = network.read(whole(only(people, others, nothing))).shrunk(CONFIG.shrink)
        query = network.read(whole(only(people, held, others)))
        for task in range(3):
            start = network.start()
            fast = adapt(
                start, network.loss, one_of(support, task), CONFIG.inner_lr, inner_of(CONFIG)
            )
            gain = network.loss(start, one_of(query, task)) - network.loss(
                fast, one_of(query, task)
            )
            expected[task] += gain.item() * held[task].sum() / 5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found).max() > 0.1


def test_a_single_reaction_gives_the_guard_nothing_to_judge_by() -> None:
    alone = lists([[1, 0, 0, 0]])
    found = held_back(gate(), alone, context(1), CONFIG, inner_of(CONFIG))
    assert found.gain.tolist() == [pytest.approx(0.0, abs=1e-7)]
    assert found.rise.tolist() == [0.0]
    assert not found.accepted.any()


def test_both_the_loss_and_the_places_of_held_back_reactions_must_speak_for_new_weights() -> None:
    found = HeldBack(np.array([0.1, 0.1, 0.1, -0.1, 0.0]), np.array([0.0, 0.2, -0.1, 0.2, 0.2]))
    assert found.accepted.tolist() == [True, True, False, False, False]


def test_the_rise_is_that_of_the_discounted_places() -> None:
    # The right base has the first wanted candidate on top, the left one the second; each is held
    # back once, while the weights go to the base that likes the other.
    score = np.array([[[-2.0, 2.0], [2.0, -2.0], [0.0, 0.0]]])
    torn = lists([[1, 1, 0]], score)
    config = CONFIG.changed(n_folds=2, shrink=0.0, inner_lr=20.0, inner_clip=None, hidden=1)
    network = MamlGate(config, np.array([0.5, 0.5], np.float32), 3, 2.0, np.random.default_rng(0))
    found = held_back(network, torn, context(1), config, inner_of(config))
    # All three score 0 at first and share the first place; then each falls to the second.
    assert found.rise[0] == pytest.approx(1 / np.log2(3) - 1, abs=1e-6)
    assert found.gain[0] < 0


def test_a_candidate_stands_by_how_many_score_higher() -> None:
    network = gate()
    score = np.arange(13.0)[::-1, None].repeat(2, axis=1)[None]
    score[0, 0] = np.nan  # on top, were it there
    one = one_of(network.read(whole(lists(np.eye(1, 13, 3), score))), 0)
    share, place = network.standing(network.start(), one)
    assert place[1:4].tolist() == pytest.approx([1.0, 1 / np.log2(3), 0.5])
    assert place[10] > 0
    assert place[11:].tolist() == [0.0, 0.0]
    assert -share[3].item() == pytest.approx(network.loss(network.start(), one).item(), rel=1e-5)


def test_requests_without_context_are_read_as_knowing_nothing() -> None:
    people = two_tastes(4)
    reader = ContextReader.fit(people.signals)
    assert reader.width == 10
    bare = replace(people.signals, user=None)
    assert not reader.read(bare).any()
    assert reader.read(people.signals).shape == (4, 10)
    assert ContextReader.fit(bare).read(people.signals).shape == (4, 0)
