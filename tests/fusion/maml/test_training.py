"""The outer loss and the guard, against one task after the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fusion.maml.people import lists, two_tastes

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.adapting import held_back_gain
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


def test_the_guard_takes_each_part_out_of_the_list_while_adapting_to_the_others() -> None:
    network, people = gate(), two_tastes(3, 1, n_items=12, n_wanted=5)
    found = held_back_gain(network, people, context(3), CONFIG, inner_of(CONFIG))
    place = np.cumsum(people.relevant, axis=1) - 1
    expected = np.zeros(3)
    for fold in range(CONFIG.n_folds):
        held: Bools = people.relevant & (place % CONFIG.n_folds == fold)
        others: Bools = people.relevant & ~held
        support = network.read(whole(only(people, others, held))).shrunk(CONFIG.shrink)
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
    found = held_back_gain(gate(), alone, context(1), CONFIG, inner_of(CONFIG))
    assert found.tolist() == [pytest.approx(0.0, abs=1e-7)]


def test_requests_without_context_are_read_as_knowing_nothing() -> None:
    people = two_tastes(4)
    reader = ContextReader.fit(people.signals)
    assert reader.width == 10
    bare = replace(people.signals, user=None)
    assert not reader.read(bare).any()
    assert reader.read(people.signals).shape == (4, 10)
    assert ContextReader.fit(bare).read(people.signals).shape == (4, 0)
