import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from crossfade.recommenders.two_tower.losses import (
    cosine_embedding,
    inclusion_log_q,
    sampled_softmax,
)


def rand(*shape: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return nn.functional.normalize(torch.from_numpy(rng.normal(size=shape)), dim=-1)


def bools(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def softmax_loss(
    user: Tensor,
    item: Tensor,
    target: Tensor,
    excluded: Tensor | None = None,
    log_q: Tensor | None = None,
    temperature: Tensor | float = 1.0,
    correction: float = 0.0,
    **more: Any,
) -> Tensor:
    """The loss with everything left out that a test is not about."""
    excluded = torch.zeros_like(target) if excluded is None else excluded
    log_q = torch.zeros(len(item), dtype=item.dtype) if log_q is None else log_q
    return sampled_softmax(user, item, target, excluded, log_q, temperature, correction, **more)


# One request at (1); candidates score log 2, log 3, log 5 and log 7.
ONE = torch.ones(1, 1, dtype=torch.float64)
LOGS = torch.tensor([[2.0], [3.0], [5.0], [7.0]], dtype=torch.float64).log()


# -- values by hand --------------------------------------------------------------------


def test_one_positive_against_the_rest() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]))
    assert loss.item() == pytest.approx(-math.log(2 / (2 + 3 + 5 + 7)))


def test_positives_are_not_each_others_negatives() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 1, 0, 0]))
    each = (-math.log(2 / (2 + 5 + 7)), -math.log(3 / (3 + 5 + 7)))
    assert loss.item() == pytest.approx(sum(each) / 2)


def test_the_excluded_are_no_negatives_and_a_positive_stays_one() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]), bools([1, 0, 1, 0]))
    assert loss.item() == pytest.approx(-math.log(2 / (2 + 3 + 7)))


def test_each_request_counts_the_same_whatever_its_number_of_positives() -> None:
    target = bools([1, 1, 0, 0], [0, 0, 0, 1])
    each = [softmax_loss(ONE, LOGS, row[None]).item() for row in target]
    both = softmax_loss(ONE.expand(2, 1), LOGS, target)
    assert both.item() == pytest.approx(sum(each) / 2)


def test_a_request_without_positives_changes_nothing() -> None:
    target = bools([1, 0, 0, 0], [0, 0, 0, 0])
    user = ONE.expand(2, 1).clone().requires_grad_()
    loss = softmax_loss(user, LOGS, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(-math.log(2 / 17))
    assert user.grad is not None
    assert user.grad[1].item() == 0


@pytest.mark.parametrize(
    ("target", "excluded"),
    [
        (bools([0, 0, 0, 0]), bools([0, 0, 0, 0])),  # nothing wanted
        (bools([1, 1, 1, 1]), bools([0, 0, 0, 0])),  # nothing unwanted
        (bools([1, 0, 0, 0]), bools([0, 1, 1, 1])),  # all the rest excluded
        (bools([0, 0, 0, 0]), bools([1, 1, 1, 1])),  # nothing at all
    ],
)
def test_where_nothing_can_be_learnt_loss_and_gradient_are_0(
    target: Tensor, excluded: Tensor
) -> None:
    user, item = ONE.clone().requires_grad_(), LOGS.clone().requires_grad_()
    loss = softmax_loss(user, item, target, excluded)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    for side in (user, item):
        assert side.grad is not None
        assert not side.grad.any()


def test_temperature_divides_the_products() -> None:
    # Half the temperature squares every exp.
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]), temperature=0.5)
    assert loss.item() == pytest.approx(-math.log(4 / (4 + 9 + 25 + 49)))


# -- correction ------------------------------------------------------------------------

# They enter with these probabilities, so 3 stands for 3 / (1/3) = 9, 5 for 50, 7 for 7.
Q = torch.tensor([0.2, 1 / 3, 0.1, 1.0], dtype=torch.float64).log()


def test_a_rare_negative_stands_for_many() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]), log_q=Q, correction=1)
    assert loss.item() == pytest.approx(-math.log(2 / (2 + 9 + 50 + 7)))


def test_half_a_correction_divides_by_the_root() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]), log_q=Q, correction=0.5)
    weighted = 3 * 3**0.5 + 5 * 10**0.5 + 7
    assert loss.item() == pytest.approx(-math.log(2 / (2 + weighted)))


def test_positives_are_corrected_on_request() -> None:
    loss = softmax_loss(
        ONE, LOGS, bools([1, 0, 0, 0]), log_q=Q, correction=1, correct_positives=True
    )
    assert loss.item() == pytest.approx(-math.log(10 / (10 + 9 + 50 + 7)))


def test_correction_does_not_depend_on_temperature() -> None:
    loss = softmax_loss(ONE, LOGS, bools([1, 0, 0, 0]), log_q=Q, correction=1, temperature=0.5)
    assert loss.item() == pytest.approx(-math.log(4 / (4 + 27 + 250 + 49)))


def push_error(correction: float) -> float:
    """How far the mean push on sampled negatives is from that of the full softmax.

    One request, 200 items, popularity like 1/rank; 300 batches of 60 draws by popularity
    and 40 uniform ones. In units of the full softmax's push.
    """
    rng, n_items, positive = np.random.default_rng(0), 200, 30
    share = 1 / np.arange(1.0, n_items + 1)
    share /= share.sum()
    user, item = rand(1, 8, seed=1), rand(n_items, 8, seed=2)
    log_q = torch.from_numpy(inclusion_log_q(share.astype(np.float32), 60, 40))

    whole = item.clone().requires_grad_()
    nn.functional.cross_entropy(user @ whole.T / 0.3, torch.tensor([positive])).backward()  # type: ignore[no-untyped-call]
    sampled = item.clone().requires_grad_()
    n_batches = 300
    for _ in range(n_batches):
        drawn = np.append(rng.choice(n_items, size=60, p=share), rng.integers(n_items, size=40))
        rows = torch.from_numpy(np.union1d(drawn, positive))
        target = (rows == positive)[None]
        loss = softmax_loss(user, sampled[rows], target, None, log_q[rows], 0.3, correction)
        (loss / n_batches).backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None
    assert sampled.grad is not None
    negatives = torch.arange(n_items) != positive
    error = (sampled.grad - whole.grad)[negatives].norm() / whole.grad[negatives].norm()
    return float(error)


def test_only_the_right_sign_gives_the_gradient_of_the_full_softmax() -> None:
    right, none, wrong = push_error(1.0), push_error(0.0), push_error(-1.0)
    assert right < 0.15
    assert none > 3 * right
    assert wrong > 2 * none


def test_inclusion_by_hand() -> None:
    # Two draws by share and one uniform one among two items: 1 - (1-f)^2 / 2.
    log_q = inclusion_log_q(np.array([0.75, 0.25], dtype=np.float32), 2, 1)
    assert np.exp(log_q) == pytest.approx([1 - 0.0625 / 2, 1 - 0.5625 / 2])


def test_inclusion_at_the_edges() -> None:
    never_and_always = inclusion_log_q(np.array([0.0, 1.0], dtype=np.float32), 3, 0)
    assert never_and_always.tolist() == [-math.inf, 0.0]
    assert inclusion_log_q(np.array([1.0], dtype=np.float32), 0, 1).tolist() == [0.0]


def test_a_tiny_share_keeps_its_digits() -> None:
    # Twice out of a billion: 1 - (1 - 1e-9)^2 is 2e-9, which plain float32 loses.
    share = np.array([1e-9, 1 - 1e-9], dtype=np.float32)
    assert inclusion_log_q(share, 2, 0)[0] == pytest.approx(math.log(2e-9), rel=1e-6)


def test_inclusion_is_what_happens() -> None:
    rng, n_batches = np.random.default_rng(3), 4000
    share = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    seen = np.zeros(5)
    for _ in range(n_batches):
        drawn = np.concatenate([rng.choice(5, size=4, p=share), rng.integers(5, size=2)])
        seen[np.unique(drawn)] += 1
    expected = np.exp(inclusion_log_q(share.astype(np.float32), 4, 2))
    # Four standard errors of a share near a half.
    np.testing.assert_allclose(seen / n_batches, expected, atol=4 * 0.5 / n_batches**0.5)


# -- hard negatives --------------------------------------------------------------------


def test_only_the_hardest_negatives_count() -> None:
    loss = softmax_loss(ONE, LOGS, bools([0, 1, 0, 0]), hardest=2)
    assert loss.item() == pytest.approx(-math.log(3 / (3 + 5 + 7)))


def test_hard_is_what_scores_high_before_the_correction() -> None:
    # 2 / 0.2 = 10 outweighs 7, but 7 is the more similar one.
    loss = softmax_loss(ONE, LOGS, bools([0, 1, 0, 0]), log_q=Q, correction=1, hardest=1)
    assert loss.item() == pytest.approx(-math.log(3 / (3 + 7)))


def test_neither_positives_nor_the_excluded_take_a_hard_place() -> None:
    loss = softmax_loss(ONE, LOGS, bools([0, 0, 0, 1]), bools([0, 0, 1, 0]), hardest=1)
    assert loss.item() == pytest.approx(-math.log(7 / (7 + 3)))


def test_more_places_than_negatives_changes_nothing() -> None:
    target = bools([1, 0, 1, 0])
    every = softmax_loss(ONE, LOGS, target)
    for hardest in (2, 3, 4, 99):
        assert softmax_loss(ONE, LOGS, target, hardest=hardest).item() == every.item()


# -- gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("hardest", [None, 3])
@pytest.mark.parametrize("correct_positives", [False, True])
def test_gradients_match_finite_differences(hardest: int | None, correct_positives: bool) -> None:
    rng = np.random.default_rng(4)
    target = torch.from_numpy(rng.random((4, 9)) < 0.2)
    target[3] = False
    target[0, 0] = True
    excluded = torch.from_numpy(rng.random((4, 9)) < 0.2)
    log_q = torch.from_numpy(np.log(rng.random(9)))
    temperature = torch.tensor(0.4, dtype=torch.float64)

    def loss(user: Tensor, item: Tensor, temperature: Tensor) -> Tensor:
        return sampled_softmax(
            user, item, target, excluded, log_q, temperature, 0.7,
            correct_positives=correct_positives, hardest=hardest,
        )  # fmt: skip

    inputs = [x.requires_grad_() for x in (rand(4, 5), rand(9, 5, seed=1), temperature)]
    assert torch.autograd.gradcheck(loss, inputs)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 100.0]))
def test_with_every_item_as_candidate_it_is_cross_entropy(seed: int, scale: float) -> None:
    user, item = rand(6, 4, seed=seed) * scale, rand(7, 4, seed=seed + 1)
    wanted = torch.from_numpy(np.random.default_rng(seed).integers(7, size=6))
    target = nn.functional.one_hot(wanted, 7).bool()
    expected = nn.functional.cross_entropy(user @ item.T / 0.5, wanted)
    torch.testing.assert_close(softmax_loss(user, item, target, temperature=0.5), expected)


def test_extreme_products_stay_finite() -> None:
    user = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    loss = softmax_loss(user, LOGS.float(), bools([1, 0, 0, 0], [1, 0, 0, 0]), temperature=0.01)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert user.grad is not None
    assert bool(user.grad.isfinite().all())


def test_half_precision_is_computed_in_float32() -> None:
    user, item, target = rand(3, 8), rand(5, 8, seed=1), torch.eye(3, 5, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        loss = softmax_loss(user.bfloat16(), item.bfloat16(), target, temperature=0.05)
    assert loss.dtype == torch.float32
    exact = softmax_loss(
        user.bfloat16().double(), item.bfloat16().double(), target, temperature=0.05
    )
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


# -- the documented baseline -----------------------------------------------------------


def test_cosine_embedding_by_hand() -> None:
    user = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    item = torch.tensor([[0.0, 2.0], [0.6, 0.8], [-1.0, 0.0]])
    # wanted at cosine 0: 1; unwanted at 0.6: 0.6 - 0.1; unwanted at -1: 0
    loss = cosine_embedding(user, item, torch.tensor([1, -1, -1]), margin=0.1)
    assert loss.item() == pytest.approx((1 + 0.5 + 0) / 3)


def test_cosine_embedding_is_the_published_loss() -> None:
    user, item = rand(20, 6), rand(20, 6, seed=1)
    label = torch.from_numpy(np.random.default_rng(0).choice([-1, 1], size=20))
    expected = nn.CosineEmbeddingLoss(margin=0.2)(user, item, label)
    torch.testing.assert_close(cosine_embedding(user, item, label, 0.2), expected)
