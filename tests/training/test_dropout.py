"""Dropout that draws on the CPU for every device."""

import pytest
import torch
from torch import nn

from crossfade.training.dropout import Dropout, mask


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_the_mask_holds_the_numbers_that_torch_draws_on_a_cpu(p: float) -> None:
    values = torch.randn(7, 5, 3, requires_grad=True)
    torch.manual_seed(3)
    expected = nn.Dropout(p)(values)
    torch.manual_seed(3)
    assert torch.equal(Dropout(p)(values), expected)
    torch.manual_seed(3)
    assert torch.equal(values * mask(values.shape, p), expected)
    assert 0 < (expected == 0).float().mean() < 1


def test_nothing_is_dropped_when_it_answers() -> None:
    values = torch.ones(4, 4)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_drops_what_a_cpu_drops() -> None:
    values, drop = torch.randn(64, 128), Dropout(0.2)
    torch.manual_seed(3)
    expected = drop(values)
    torch.manual_seed(3)
    assert torch.equal(drop(values.cuda()).cpu(), expected)
