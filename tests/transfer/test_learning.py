"""Gates that are learned, carried, aligned and stepped; gradients against finite differences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.transfer.conftest import CONFIG, lists

from crossfade.fusion.base import Columns
from crossfade.fusion.few_shot.model import FewShotGate
from crossfade.fusion.few_shot.network import Lists, blended, learn, loss, n_parameters, neutral
from crossfade.transfer.alignment import in_front
from crossfade.transfer.facts import Record, domain_facts
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.prior import Prior, learn_prior, stepped
from crossfade.transfer.prototypes import Prototypes
from crossfade.transfer.tasks import Task


def _some(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=n_parameters(3))


def test_the_model_says_what_the_tensors_say() -> None:
    labelled, flat = lists(0), _some(1)
    model = FewShotGate.carried(flat, labelled.signals.columns)
    expected = blended(torch.from_numpy(flat), Lists.of(labelled)).numpy()
    np.testing.assert_allclose(model.forward(labelled.signals).score, expected, atol=1e-5)


def test_contributions_and_residual_make_the_score_and_weights_sum_to_one() -> None:
    labelled = lists(0)
    fused = FewShotGate.carried(_some(1), labelled.signals.columns).forward(labelled.signals)
    assert fused.brought is not None
    assert fused.residual is not None
    np.testing.assert_allclose(fused.brought.sum(axis=-1) + fused.residual, fused.score, atol=1e-5)
    np.testing.assert_allclose(fused.weights.sum(axis=-1), 1, atol=1e-5)
    assert (fused.weights[~labelled.signals.available] == 0).all()


def test_parameters_of_other_bases_are_refused() -> None:
    with pytest.raises(ValueError, match="10 parameters cannot blend 2 bases, which need 7"):
        FewShotGate.carried(neutral(3), Columns(("a", "b")))


def test_few_lists_move_little_and_many_find_the_base_that_knows() -> None:
    few, many = (Lists.of(lists(0, n)) for n in (2, 200))
    near, far = (learn(some, neutral(3), pull=10.0, n_steps=60, rate=0.05) for some in (few, many))
    assert np.linalg.norm(near) < np.linalg.norm(far)
    assert far[:3].argmax() == 1


def test_lists_that_want_nothing_teach_nothing() -> None:
    labelled = lists(0)
    silent = Lists.of(replace(labelled, relevant=np.zeros_like(labelled.relevant)))
    start = _some(2)
    assert np.array_equal(learn(silent, start, pull=1.0, n_steps=5, rate=0.1), start)


def test_an_aligner_that_moves_nothing_changes_nothing_l20() -> None:
    flat = torch.from_numpy(_some(3))
    assert torch.allclose(in_front(flat, torch.zeros(2, 3, dtype=torch.float64)), flat)


def test_a_gate_with_an_alignerin_front_ranks_like_the_gate_on_aligned_scores_l20() -> None:
    """Stretch and shift of scores, and the same folded into the parameters: one order."""
    flat = torch.from_numpy(_some(4))
    flat[3:6] = (
        0  # with slopes the factor differs between requests, which ranks within one do not see
    )
    moved = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 3)) * 0.4)
    given = Lists.of(lists(6))
    aligned = replace(
        given, score=torch.where(given.there, given.score * moved[0].exp() + moved[1], given.score)
    )
    there = blended(flat, aligned)
    folded = blended(in_front(flat, moved), given)
    for one, other in zip(there, folded, strict=True):
        assert np.corrcoef(one.numpy(), other.numpy())[0, 1] > 1 - 1e-9


def test_meta_gradients_go_through_every_inner_step(tasks: list[Task]) -> None:
    """The meta-gradient of the start against finite differences: a first-order one would differ."""
    one = next(task for task in tasks if task.support.n_teaching > 3)
    start = torch.tensor(_some(0), requires_grad=True)
    rates = torch.full_like(start, 0.3).detach()

    def after(flat: torch.Tensor) -> torch.Tensor:
        return loss(stepped(flat, rates, one.support, 3), one.query)

    (slope,) = torch.autograd.grad(after(start), start)
    for place in (0, 4, 8, 9):
        step = torch.zeros_like(start)
        step[place] = 1e-5
        up, down = (after((start + sign * step).detach().requires_grad_()) for sign in (1, -1))
        assert float(slope[place]) == pytest.approx(float((up - down).detach()) / 2e-5, abs=1e-6)


def test_a_prior_learns_which_base_knows_from_evidence() -> None:
    """In each task another base knows; only the evidence tells which (what transfers is how to read it)."""
    tasks = []
    for seed in range(12):
        support, query = lists(seed, 30, seed % 3), lists(100 + seed, 30, seed % 3)
        evidence = Record.of(support).evidence()
        tasks.append(Task("as it is", np.zeros(4), evidence, Lists.of(support), Lists.of(query)))
    config = CONFIG.changed(n_epochs=60)
    prior = learn_prior(tasks[:9], config, np.random.default_rng(0))
    assert prior.by_evidence > 1
    for one in tasks[9:]:
        own = prior.parameters(one.domain, one.evidence)
        assert own[:3].argmax() == one.evidence.argmax()
        at_even = float(loss(torch.from_numpy(neutral(3)), one.query))
        assert float(loss(torch.from_numpy(own), one.query)) < at_even


def test_evidence_without_lists_says_nothing() -> None:
    record = Record.of(lists(0))
    nothing = record.evidence(np.zeros(0, dtype=np.int64))
    assert np.array_equal(nothing, np.zeros(3))


def test_prototypes_are_used_l23(knowledge: Knowledge) -> None:
    prior, kept = knowledge.prior, knowledge.prototypes
    domain, evidence = prior.scale.middle, np.zeros(3)
    weights = kept.attention(prior, domain, evidence)
    assert weights.sum() == pytest.approx(1)
    before = kept.parameters(prior, domain, evidence)
    other = Prototypes(kept.key, kept.value + 1, kept.width)
    np.testing.assert_allclose(other.parameters(prior, domain, evidence), before + 1)


def test_the_nearest_prototype_counts_most(knowledge: Knowledge) -> None:
    kept = knowledge.prototypes
    far = Prototypes(kept.key + np.arange(len(kept.key))[:, None], kept.value, 0.1)
    key = far.key[0]
    prior = knowledge.prior
    domain = prior.scale.middle + key[:4] * prior.scale.spread
    assert far.attention(prior, domain, key[4:]).argmax() == 0


def test_bowls_give_the_gradient_near_their_lowest_point(knowledge: Knowledge) -> None:
    bowl = knowledge.bowls[0]
    assert not bowl.slope(bowl.lowest).any()
    assert (np.linalg.eigvalsh(bowl.curvature) > -1e-9).all()
    uphill = bowl.lowest + 0.1
    assert bowl.slope(uphill) @ (uphill - bowl.lowest) >= 0


def test_facts_about_a_domain_are_those_that_are_named(source: Any) -> None:
    facts = domain_facts(source)
    n, people = source.n_events, source.events["user_row"].n_unique()
    assert facts[:3] == pytest.approx(np.log([n, people, n / people]))
    assert facts[3] <= 0


def test_a_prior_comes_back_from_its_arrays(knowledge: Knowledge) -> None:
    again = Prior.from_arrays(knowledge.inner.to_arrays())
    domain, evidence = np.zeros(4), np.ones(3)
    assert np.array_equal(
        again.parameters(domain, evidence), knowledge.inner.parameters(domain, evidence)
    )
