import pytest
import torch
from tests.context.rows import idle, seeded

from crossfade.context.interaction import ContextInteraction


def contexts(n_requests: int, n_candidates: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    user = torch.randn(n_requests, 64, generator=rng)
    return user, torch.randn(n_requests, n_candidates, 32, generator=rng)


def test_each_number_is_a_bilinear_form_of_rank_one() -> None:
    seeded()
    model = ContextInteraction(64, 32, 6).double()
    user, item = (part.double() for part in contexts(7))
    # Written out: u' (p q') i for row p of one projection and q of the other.
    forms = torch.einsum("ku,ki->kui", model.user.weight, model.item.weight)
    expected = torch.einsum("bu,kui,bli->blk", user, forms, item)
    torch.testing.assert_close(model(user, item), expected)
    assert [int(torch.linalg.matrix_rank(form)) for form in forms] == [1] * 6


@pytest.mark.parametrize("n_requests", [0, 1, 7])
def test_shapes_hold_for_one_request_and_for_seven(n_requests: int) -> None:
    # PITFALLS F-02: a bare squeeze lost an axis, another one at B = 1.
    seeded()
    model = ContextInteraction()
    user, item = contexts(n_requests)
    together = model(user, item)
    assert together.shape == (n_requests, 5, 32)
    for row in range(n_requests):
        alone = model(user[row : row + 1], item[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_what_either_side_says_alone_stays_out() -> None:
    seeded()
    model = ContextInteraction()
    user, item = contexts(7)
    assert (model(torch.zeros_like(user), item) == 0).all()
    torch.testing.assert_close(model(2 * user, -item), -2 * model(user, item))


def test_the_interaction_is_more_than_one_number() -> None:
    # PITFALLS F-01: a dot product would leave a single scalar for everything.
    seeded()
    met = ContextInteraction()(*contexts(7)).reshape(-1, 32)
    assert int(torch.linalg.matrix_rank(met)) == 32


def test_gradient_reaches_both_projections() -> None:
    seeded()
    model = ContextInteraction()
    model(*contexts(7)).square().sum().backward()
    assert idle(model) == []
