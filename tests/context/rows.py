"""Rows to read, and what every extractor has to do with them."""

import copy

import torch
from torch import Tensor, nn

from crossfade.context.base import Extracted, Extractor


def seeded(seed: int = 0) -> None:
    """Networks built next begin with the same numbers; tests own the world they run in."""
    torch.default_generator.manual_seed(seed)


def some_rows(*shape: int, seed: int = 0, share: float = 0.7) -> tuple[Tensor, Tensor]:
    """Random values, and which are known; something strange stands where nothing is."""
    rng = torch.Generator().manual_seed(seed)
    values, known = torch.randn(shape, generator=rng), torch.rand(shape, generator=rng) < share
    return torch.where(known, values, torch.tensor(float("nan"))), known


def check_extractor(extractor: Extractor) -> None:
    """The claims every extractor shares."""
    extractor.eval()
    check_rows_are_read_alone(extractor)
    check_double_agrees(extractor)
    check_unknown_values_are_not_looked_at(extractor)
    check_knowing_differs_from_being_average(extractor)
    check_leading_shapes(extractor)
    check_gradient_reaches_every_parameter(extractor)


def check_rows_are_read_alone(extractor: Extractor) -> None:
    values, known = some_rows(7, extractor.n_columns)
    together = extractor(values, known)
    assert together.context.shape == (7, extractor.output_dim)
    others = some_rows(7, extractor.n_columns, seed=1)
    for row in range(7):
        one = slice(row, row + 1)
        alone = extractor(values[one], known[one])
        assert alone.context.shape == (1, extractor.output_dim)
        mates = [part.clone() for part in others]
        mates[0][row], mates[1][row] = values[row], known[row]
        assert_same(first(alone), pick(together, row))
        assert_same(pick(extractor(*mates), row), pick(together, row))


def check_double_agrees(extractor: Extractor) -> None:
    values, known = some_rows(7, extractor.n_columns)
    single = extractor(values, known).context
    double = copy.deepcopy(extractor).double()
    exact = double(values.double(), known).context
    assert exact.dtype == torch.float64
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)
    # Where rounding is 1e-16, a leak between rows has nowhere to hide.
    alone = double(values[2:3].double(), known[2:3]).context
    torch.testing.assert_close(alone[0], exact[2], rtol=0, atol=1e-13)


def check_unknown_values_are_not_looked_at(extractor: Extractor) -> None:
    values, known = some_rows(7, extractor.n_columns)
    other = torch.where(known, values, torch.tensor(1e30))
    assert torch.equal(extractor(values, known).context, extractor(other, known).context)
    nothing = extractor(values, torch.zeros_like(known)).context
    assert torch.isfinite(nothing).all()
    assert torch.equal(nothing, nothing[:1].expand(7, -1))


def check_knowing_differs_from_being_average(extractor: Extractor) -> None:
    average = torch.zeros(1, extractor.n_columns)
    everything = torch.ones_like(average, dtype=torch.bool)
    shown = extractor(average, everything).context
    assert not torch.allclose(shown, extractor(average, ~everything).context)


def check_leading_shapes(extractor: Extractor) -> None:
    values, known = some_rows(2, 3, extractor.n_columns)
    wide = extractor(values, known).context
    assert wide.shape == (2, 3, extractor.output_dim)
    flat = extractor(values.reshape(6, -1), known.reshape(6, -1)).context
    torch.testing.assert_close(wide.reshape(6, -1), flat, rtol=1e-5, atol=1e-6)


def check_gradient_reaches_every_parameter(extractor: Extractor) -> None:
    values, known = some_rows(64, extractor.n_columns)
    known[0] = False
    extractor.zero_grad()
    extractor(values, known).context.square().sum().backward()
    assert idle(extractor) == []


def idle(module: nn.Module) -> list[str]:
    """Names of parameters that learn nothing, or something that is no number."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None
        or not torch.isfinite(parameter.grad).all()
        # Rounding leaves a speck where the gradient is 0 by algebra.
        or not parameter.grad.abs().max() > 1e-5
    ]


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def first(extracted: Extracted) -> Tensor:
    return pick(extracted, 0)


def pick(extracted: Extracted, row: int) -> Tensor:
    """Context and weights of one row, end to end."""
    parts = [part[row] for part in extracted if part is not None]
    return torch.cat(parts)
