"""What a companion network reads, gives and learns."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossfade.context.config import SynthesisConfig
from crossfade.context.synthesis import Companion, Group, Inputs
from crossfade.context.units import GONE, WAITS, WORKS, Units
from crossfade.errors import ConfigError

GROUPS = (Group("text", 5), Group("audio", 3), Group("year", 1))
N_ROWS, DIM = 6, 4

KINDS = [
    {"network": network, "combine": combine}
    for network in ("mlp", "transformer")
    for combine in ("gated_sum", "attention")
]
"""Every form of a companion."""


def _companion(*, gate: float = 0.0, **values: Any) -> Companion:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = SynthesisConfig(**{"on": True, "width": 8, "units": 6, **values})
        companion = Companion(GROUPS, DIM, config).eval()
        if gate:  # else as it was built
            torch.nn.init.constant_(companion.gate, gate)
    return companion


def _inputs(seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    made = torch.Generator().manual_seed(seed)
    return {
        g.name: (
            torch.randn(N_ROWS, g.n_columns, generator=made),
            torch.ones(N_ROWS, g.n_columns, dtype=torch.bool),
        )
        for g in GROUPS
    }


def _originals() -> Tensor:
    return torch.randn(N_ROWS, DIM, generator=torch.Generator().manual_seed(1))


def _added(companion: Companion, inputs: Inputs) -> Tensor:
    added: Tensor = companion(inputs, _originals()).added
    return added.detach()


def _give(companion: Companion, sizes: list[float]) -> None:
    """Let each group give one number everywhere, whatever it reads."""
    for project, size in zip(companion.project, sizes, strict=True):
        assert isinstance(project, torch.nn.Linear)
        torch.nn.init.zeros_(project.weight)
        torch.nn.init.constant_(project.bias, size)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_untrained_companion_changes_nothing_to_the_last_bit(kind: dict[str, Any]) -> None:
    # P-05: gates begin at 0.
    companion, originals = _companion(**kind), _originals()
    made = companion(_inputs(), originals)
    assert torch.equal(originals + made.added, originals)
    assert made.weights.eq(0).all()
    assert float(made.penalty.detach()) == 0.0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_gate_learns_in_the_first_step_and_all_the_rest_in_the_second(
    kind: dict[str, Any],
) -> None:
    # P-01: a companion whose output comes too late for the loss has no gradient at all.
    companion = _companion(**kind)
    optimiser = torch.optim.SGD(companion.parameters(), lr=0.1)

    def gradients() -> dict[str, float]:
        optimiser.zero_grad()
        originals = _originals()
        (originals + companion(_inputs(), originals).added - 1).square().sum().backward()
        return {
            name: float(w.grad.norm())
            for name, w in companion.named_parameters()
            if w.grad is not None
        }

    first = gradients()
    assert first.pop("gate") > 0
    assert max(first.values()) == 0.0
    optimiser.step()
    second = gradients()
    # A bias added to all scores alike, or to all keys, moves no softmax.
    silent = {"score.bias", "look.in_proj_bias"}
    assert min(value for name, value in second.items() if name not in silent) > 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_companion_that_is_silenced_again_leaves_the_loss_it_would_have_been_without(
    kind: dict[str, Any],
) -> None:
    # P-01, the other half: what it makes is really used.
    open_, shut = _companion(gate=0.5, **kind), _companion(gate=0.0, **kind)
    assert not torch.equal(_added(open_, _inputs()), torch.zeros(N_ROWS, DIM))
    assert torch.equal(_added(shut, _inputs()), torch.zeros(N_ROWS, DIM))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=20, deadline=None)
@given(absent=st.sets(st.sampled_from([g.name for g in GROUPS])), seed=st.integers(1, 5))
def test_an_absent_group_has_no_influence_and_no_weight(
    kind: dict[str, Any], absent: set[str], seed: int
) -> None:
    companion = _companion(gate=0.5, **kind)
    hidden = {
        name: (torch.full_like(values, torch.nan), torch.zeros_like(known))
        if name in absent
        else (values, known)
        for name, (values, known) in _inputs(seed).items()
    }
    left_out = {name: pair for name, pair in hidden.items() if name not in absent}
    made = companion(hidden, _originals())
    torch.testing.assert_close(made.added, companion(left_out, _originals()).added)
    places = [place for place, group in enumerate(GROUPS) if group.name in absent]
    assert made.weights[:, places].eq(0).all()
    total = 0.0 if len(absent) == len(GROUPS) else 1.0
    torch.testing.assert_close(made.weights.sum(dim=1), torch.full((N_ROWS,), total))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_row_is_read_on_its_own(kind: dict[str, Any]) -> None:
    companion = _companion(gate=0.5, **kind)
    alone = {name: (v[:1], k[:1]) for name, (v, k) in _inputs().items()}
    one = companion(alone, _originals()[:1]).added
    torch.testing.assert_close(one, _added(companion, _inputs())[:1])


def test_weights_are_shares_of_what_each_group_adds() -> None:
    companion = _companion(gate=0.5, combine="gated_sum")
    with torch.no_grad():
        companion.gate[1] = 0.0
    _give(companion, [3.0, 9.0, 4.0])
    weights = companion(_inputs(), _originals()).weights
    torch.testing.assert_close(weights[0], torch.tensor([3 / 7, 0.0, 4 / 7]))


def test_a_small_feature_behind_a_large_gate_does_not_go_free() -> None:
    # P-08: gate and feature are penalised together; P-02: the penalty is in the loss at all.
    def penalty(feature: float, gate: float) -> tuple[float, float]:
        found = []
        for weight in ({"l1": 2.0}, {"l2": 2.0}):
            companion = _companion(gate=gate, combine="gated_sum", **weight)
            _give(companion, [feature] * len(GROUPS))
            found.append(float(companion(_inputs(), _originals()).penalty.detach()))
        return found[0], found[1]

    assert penalty(1.0, 0.5) == pytest.approx((2 * 0.5, 2 * 0.25))
    assert penalty(0.01, 50.0) == pytest.approx(penalty(1.0, 0.5))


def test_what_is_made_of_events_is_refused_by_name() -> None:
    # P-10
    with pytest.raises(ValueError, match="made of events, got group popularity"):
        Companion([Group("text", 2), Group("popularity", 1, "events")], DIM, SynthesisConfig())
    with pytest.raises(ValueError, match="at least one group"):
        Companion([], DIM, SynthesisConfig())


def test_a_group_of_another_name_or_width_is_refused() -> None:
    companion = _companion()
    values = torch.zeros(N_ROWS, 2)
    with pytest.raises(ValueError, match="image is unknown; there are text, audio, year"):
        companion({"image": (values, values > 0)}, _originals())
    with pytest.raises(ValueError, match="reads 5 columns"):
        companion({"text": (values, values > 0)}, _originals())


def test_the_pace_is_the_size_of_what_is_added_and_stays_within_its_limit() -> None:
    # P-06: proportional to the size alone, it would feed itself.
    for gate, limit, expected in ((0.0, 4.0, 0.25), (1e6, 4.0, 4.0), (1e6, 1.0, 1.0)):
        companion = _companion(gate=gate, pace_limit=limit).train()
        companion(_inputs(), _originals())
        assert companion.pace() == expected
    companion = _companion(pace_limit=4.0)
    companion.size.fill_(1.5)
    assert companion.pace() == 1.5


def _units() -> tuple[Units, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        units = Units(width=3, n_units=4, n_spare=2, dropout=0.0)
        values = torch.randn(10, 3)
    units.train()
    units(values)  # so that it is known how active each is
    return units.eval(), values


def test_units_that_join_change_no_output_and_then_learn() -> None:
    # P-07
    units, values = _units()
    before = units(values)
    units.grow(2)
    assert units.n_working == 6
    assert torch.equal(units(values), before)
    units(values).square().sum().backward()
    assert units.give.weight.grad is not None
    assert units.give.weight.grad[:, 4:].norm() > 0


def test_units_that_wait_have_no_gradient_so_no_optimiser_remembers_them() -> None:
    units, values = _units()
    units(values).square().sum().backward()
    assert units.give.weight.grad is not None
    assert units.read.weight.grad is not None
    assert units.give.weight.grad[:, 4:].eq(0).all()
    assert units.read.weight.grad[4:].eq(0).all()


def test_a_unit_that_gives_nothing_goes_first_and_nothing_changes() -> None:
    units, values = _units()
    with torch.no_grad():
        units.give.weight[:, 2] = 0.0
    before = units(values)
    units.prune(1)
    assert units.state.tolist() == [WORKS, WORKS, GONE, WORKS, WAITS, WAITS]
    assert torch.equal(units(values), before)


def test_a_unit_that_is_gone_does_not_come_back_whatever_moves_its_weights() -> None:
    units, values = _units()
    units.prune(1)
    gone = int((units.state == GONE).nonzero())
    before = units(values)
    with torch.no_grad():
        units.give.weight[:, gone] += 5.0  # as an optimiser's momentum would
    assert torch.equal(units(values), before)
    units.grow(5)
    assert int(units.state[gone]) == GONE
    assert units.n_working == 5


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40))
def test_sizes_change_at_the_declared_epochs_only(n_epochs: int) -> None:
    companion = _companion(grow_at=(0.5,), grow_units=3, prune_at=(0.75,), prune_units=2)
    sizes = []
    for epoch in range(1, n_epochs + 1):
        companion.begin_epoch(epoch, n_epochs)
        sizes.append(companion.units.n_working)
    # The first epoch is never one of them, and whole epochs are counted.
    grown, pruned = (max(1, int(share * n_epochs)) for share in (0.5, 0.75))
    expected = [6 + 3 * (e > grown) - 2 * (e > pruned) for e in range(1, n_epochs + 1)]
    assert sizes == expected
    assert sizes[-1] == 7  # none is left out, however few epochs there are


def test_sizes_are_kept_with_the_weights() -> None:
    companion = _companion(grow_at=(0.5,), grow_units=3)
    companion.begin_epoch(2, 2)
    again = _companion(grow_at=(0.5,), grow_units=3)
    again.load_state_dict(companion.state_dict())
    assert again.units.n_working == 9


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"grow_at": (1.0,)}, "grow_at needs shares above 0 and below 1, got 1"),
        ({"units": 4, "prune_at": (0.5,), "prune_units": 4}, "leave no hidden unit of 4"),
        ({"width": 6}, "width"),
        ({"pace_limit": 0.5}, "pace_limit"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SynthesisConfig(**values)
