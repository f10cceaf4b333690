from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.gate import gates
from tests.fusion.gate.gates import TINY, fit, ndcg, noisy, planted

from crossfade.errors import DataError, NotFittedError
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.personalised import (
    PersonalisedConfig,
    PersonalisedFusion,
    PersonalNetwork,
)
from crossfade.fusion.registry import make_fusion

KEYS = ("score", "weights", "confidence", "residual")


@pytest.fixture(scope="module")
def model() -> Any:
    return fit("personalised")


@pytest.fixture
def untidy() -> Any:
    """A model whose every layer says something, of everybody but strangers."""
    return untidy_model()


def untidy_model() -> Any:
    model = fit("personalised", gates.UNTRAINED)
    noisy(model._network)
    with torch.no_grad():
        model._network.person.weight[0] = 0
    return model


def asked_by(labelled: LabelledSignals, user_row: Any) -> LabelledSignals:
    row = None if user_row is None else np.broadcast_to(np.int32(user_row), len(labelled))
    return replace(labelled, signals=replace(labelled.signals, user_row=row))


def same(one: Any, other: Any) -> None:
    for key in KEYS:
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))


# -- what all learned gates promise ----------------------------------------------------


def test_training_starts_at_the_static_blend() -> None:
    gates.starts_at_the_static_blend("personalised")


def test_a_batch_of_one_equals_one_of_seven(untidy: Any) -> None:
    gates.one_request_equals_seven(untidy)


def test_the_order_of_candidates_does_not_matter(untidy: Any) -> None:
    gates.order_of_candidates_does_not_matter(untidy)


def test_a_base_that_is_not_there_has_no_influence(untidy: Any) -> None:
    gates.a_base_that_is_not_there_has_no_influence(untidy)


def test_the_weights_are_those_that_acted() -> None:
    def says(network: Any, batch: Any) -> torch.Tensor:
        said = network.of_score * batch.score + network.of_rank * batch.rank
        return said * torch.nn.functional.softplus(network.sharpness)  # type: ignore[no-any-return]

    gates.weights_are_those_that_acted(fit("personalised", gates.UNTRAINED), says)


def test_a_restored_model_is_the_same_to_the_bit(untidy: Any) -> None:
    gates.a_restored_model_is_the_same_to_the_bit(untidy)


def test_it_learns_whom_to_trust(model: Any) -> None:
    gates.learns_whom_to_trust(model)


def test_it_repeats_to_the_bit() -> None:
    gates.repeats_to_the_bit("personalised")


# -- people ----------------------------------------------------------------------------

PEOPLE = 20


def tastes(seed: int, n: int = 200) -> LabelledSignals:
    """Base 0 is right for people with even rows, base 1 for odd ones; nothing else tells."""
    person = np.arange(n, dtype=np.int32) % PEOPLE
    labelled = planted(seed, n=n, first=person % 2 == 0, told=False)
    return replace(labelled, signals=replace(labelled.signals, user_row=person))


def test_it_learns_what_only_the_person_tells() -> None:
    settings = {**TINY, "shrinkage": 0.01}
    model = make_fusion("personalised", settings).fit(tastes(0), tastes(1), seed=3)
    meta = make_fusion("meta", TINY).fit(tastes(0), tastes(1), seed=3)
    test = tastes(2)
    own = ndcg(model.forward(test.signals).score, test)
    assert own > ndcg(meta.forward(test.signals).score, test) + 0.05
    stranger = asked_by(test, -1).signals
    assert own > ndcg(model.forward(stranger).score, test) + 0.05


def test_strangers_share_the_gate_of_everybody(untidy: Any) -> None:
    test = planted(2, n=7)
    known = untidy.forward(asked_by(test, 5).signals)
    nobody = untidy.forward(asked_by(test, -1).signals)
    assert np.nanmax(np.abs(known.score - nobody.score)) > 0.01
    same(untidy.forward(asked_by(test, 10**6).signals), nobody)
    same(untidy.forward(asked_by(test, None).signals), nobody)
    untidy.forget(np.arange(1000))
    same(untidy.forward(asked_by(test, 5).signals), nobody)


def test_what_a_person_moved_is_told_apart_from_context(untidy: Any) -> None:
    test = planted(2, n=7)
    for row, moves in ((5, True), (-1, False), (10**6, False), (None, False)):
        signals = asked_by(test, row).signals
        moved = untidy.adaptation(signals, untidy.forward(signals))
        assert moved.shape == signals.mask.shape
        assert (moved > 0.01).any() == moves
        assert moves or (moved == 0).all()
    signals = asked_by(test, 5).signals
    own, common = (
        untidy.forward(signals).weights,
        untidy.forward(asked_by(test, -1).signals).weights,
    )
    moved = untidy.adaptation(signals, untidy.forward(signals))
    known = ~np.isnan(own[..., 0])
    np.testing.assert_array_equal(moved[known], np.abs(own - common).max(axis=-1)[known])
    assert (moved[~known] == 0).all()
    everybodys: Any = fit("meta", gates.UNTRAINED)  # reads context, and knows nobody
    assert (everybodys.adaptation(signals, everybodys.forward(signals)) == 0).all()


def test_people_keep_their_rows_when_the_log_goes_on(untidy: Any) -> None:
    # Row 0 is new today, old 0 and 2 have left, and everybody else has moved.
    old = np.setdiff1d(np.arange(-1, 24), [0, 2])
    moved, test = untidy.moved(old), planted(2, n=7)
    for now, before in enumerate(old):
        same(
            moved.forward(asked_by(test, now).signals),
            untidy.forward(asked_by(test, before).signals),
        )
    assert moved.people.tolist() == np.flatnonzero(old >= 0).tolist()
    assert len(moved.state()["net.person.weight"]) == 1 + len(moved.people)
    assert len(untidy.people) == 160  # the old version stays as it was


def test_nobody_who_taught_nothing_has_a_row() -> None:
    train = planted(0, n=30)
    train.relevant[[4, 7]] = False
    score = train.signals.score.copy()
    score[9] = np.nan  # no base can score what 9 wanted
    user_row = np.arange(30, dtype=np.int32)
    user_row[[1, 2]] = -1, 0  # a stranger, and a second list of the first person
    train = replace(train, signals=replace(train.signals, score=score, user_row=user_row))
    model: Any = make_fusion("personalised", gates.UNTRAINED).fit(train, planted(1, n=30))
    expected = sorted(set(range(30)) - {1, 2, 4, 7, 9})
    assert model.people.tolist() == expected
    assert model._network.n_lists.tolist() == [1, 2, *[1] * (len(expected) - 1)]


def test_the_row_of_strangers_stays_nothing() -> None:
    mixed = tastes(0)
    assert mixed.signals.user_row is not None
    mixed.signals.user_row[:40] = -1
    model: Any = make_fusion("personalised", TINY).fit(mixed, tastes(1))
    rows = model.state()["net.person.weight"]
    assert (rows[0] == 0).all()
    assert (np.abs(rows[1:]).max(axis=1) > 0).all()


def test_signals_that_name_nobody_are_refused() -> None:
    for row in (None, -1):
        with pytest.raises(DataError, match="personalised keeps a row per person"):
            make_fusion("personalised", TINY).fit(asked_by(planted(0), row), planted(1))


# -- shrinkage -------------------------------------------------------------------------


def network(n_lists: list[int], rows: list[list[float]]) -> PersonalNetwork:
    config = PersonalisedConfig(**{**TINY, "train": {"epochs": 1}})
    columns = planted(0, n=2).signals.columns
    made = PersonalNetwork(config, np.full(3, 1 / 3, dtype=np.float32), columns, np.array(n_lists))
    with torch.no_grad():
        made.person.weight[1:] = torch.tensor(rows)
    return made


def batch_of(person: list[int]) -> Any:
    batch = fit("personalised", gates.UNTRAINED)._read(planted(0, n=len(person)).signals)
    return replace(batch, person=torch.tensor(person))


def test_the_penalty_by_hand() -> None:
    # |row|² / lists: 25 / 5 and 1 / 1, and nothing for a stranger.
    made = network([5, 1], [[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert made.penalty(batch_of([1, 2, 0, 1])).item() == pytest.approx((5 + 1 + 0 + 5) / 4)


@pytest.mark.parametrize("shrinkage", [0.25, 2.0])
def test_few_lists_stay_nearer_to_the_shared_gate(shrinkage: float) -> None:
    # Losses of curvature 1 around a row of the person's own, one per list: the least of the
    # sum is n / (n + 2 shrinkage) of the way there.
    n_lists, own = [1, 2, 8], torch.tensor([1.0, -2.0, 0.5])
    made = network(n_lists, [[0.0] * 3] * 3)
    batch = batch_of([1, 2, 2, *[3] * 8])
    for parameter in made.parameters():
        parameter.requires_grad_(parameter is made.person.weight)
    optimiser = torch.optim.LBFGS([made.person.weight], max_iter=100, tolerance_grad=1e-9)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        losses = 0.5 * (made.person(batch.person) - own).square().sum(dim=-1)
        total: torch.Tensor = losses.mean() + shrinkage * made.penalty(batch)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    for row, n in enumerate(n_lists, start=1):
        expected = n / (n + 2 * shrinkage) * own
        torch.testing.assert_close(made.person.weight[row].detach(), expected, rtol=1e-3, atol=1e-4)


def test_training_leaves_people_with_few_lists_nearer_to_the_shared_gate() -> None:
    # Rows 0 to 9 have one list, 10 and 11 forty-five each; all think alike of base 0 or 1.
    person = np.array([*range(10), *[10, 11] * 45], dtype=np.int32)
    train = planted(0, n=100, first=person % 2 == 0, told=False)
    train = replace(train, signals=replace(train.signals, user_row=person))
    length = {}
    for shrinkage in (0.0, 10.0):
        settings = {**TINY, "shrinkage": shrinkage}
        model: Any = make_fusion("personalised", settings).fit(train, tastes(1), seed=1)
        length[shrinkage] = np.linalg.norm(model.state()["net.person.weight"][1:], axis=1)
    few, many = slice(0, 10), slice(10, None)
    assert length[10.0][many].min() > 2 * length[10.0][few].max()
    assert length[10.0][few].max() < 0.5 * length[0.0][few].min()


def test_a_great_pull_leaves_the_shared_gate() -> None:
    settings = {**TINY, "shrinkage": 1e6}
    model: Any = make_fusion("personalised", settings).fit(tastes(0), tastes(1))
    assert np.abs(model.state()["net.person.weight"]).max() < 0.05


# -- forgetting ------------------------------------------------------------------------


def test_the_forgotten_are_strangers_and_the_others_stay_themselves(untidy: Any) -> None:
    test = planted(2, n=7)
    before = {row: untidy.forward(asked_by(test, row).signals) for row in (3, 4, 159)}
    stranger = untidy.forward(asked_by(test, -1).signals)
    untidy.forget(np.array([3, 158]))
    same(untidy.forward(asked_by(test, 3).signals), stranger)
    same(untidy.forward(asked_by(test, 158).signals), stranger)
    same(untidy.forward(asked_by(test, 4).signals), before[4])
    same(untidy.forward(asked_by(test, 159).signals), before[159])
    same(untidy.forward(asked_by(test, -1).signals), stranger)
    again = PersonalisedFusion.restore(untidy.config.model_dump(), untidy.state())
    same(again.forward(asked_by(test, 3).signals), stranger)
    same(again.forward(asked_by(test, 159).signals), before[159])


def test_the_state_holds_no_trace_of_the_forgotten(untidy: Any) -> None:
    before = untidy.state()
    row = before["net.person.weight"][1 + 3].copy()
    assert any(np.isin(row, array).any() for array in before.values())
    untidy.forget(np.array([3]))
    after = untidy.state()
    assert after.keys() == before.keys()
    assert 3 not in after["people"]
    for name, array in after.items():
        if array.dtype == np.float32:
            assert not np.isin(row, array).any(), name
    # What tells of a person is one shorter; all else is as it was.
    theirs = {"people", "net.person.weight", "net.n_lists"}
    for name, array in after.items():
        if name in theirs:
            assert len(array) == len(before[name]) - 1
        else:
            np.testing.assert_array_equal(array, before[name])


def test_who_has_no_row_can_be_forgotten_too(untidy: Any) -> None:
    before = {key: array.copy() for key, array in untidy.state().items()}
    untidy.forget(np.array([-1, 10**6]))
    untidy.forget(np.array([], dtype=np.int64))
    for key, array in untidy.state().items():
        np.testing.assert_array_equal(array, before[key])


def test_before_the_fit_there_is_nobody_to_forget() -> None:
    model = PersonalisedFusion()
    with pytest.raises(NotFittedError, match="personalised"):
        model.forget(np.array([1]))
    with pytest.raises(NotFittedError, match="personalised"):
        _ = model.people
