"""Answers are what the network that was trained says, whatever it reads and whoever asks."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fusion.gate.gates import TINY, noisy, planted
from tests.fusion.gate.test_readings import rich

from crossfade.fusion.base import Signals
from crossfade.fusion.gate.answering import _blend, answer
from crossfade.fusion.registry import make_fusion
from crossfade.types import Floats

SHORT: dict[str, Any] = {**TINY, "train": {"epochs": 1, "lr": 0.01}}


def gaps(seed: int) -> Signals:
    """Requests in which some candidates have no score at all."""
    signals = rich(seed, n=9).signals
    signals.score[:, :3] = np.nan
    return signals


def close(found: Floats, expected: Floats) -> None:
    """To rounding, which is that of the largest: layers add up what cancels."""
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * largest)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("reading", ["plain", "extractors"])
@pytest.mark.parametrize("name", ["meta", "personalised", "attention", "hypernetwork"])
def test_they_are_those_of_the_forward_pass(name: str, reading: str, residual: bool) -> None:
    told = {**SHORT, "reading": reading, "residual": residual, "n_layers": 3}
    model: Any = make_fusion(name, told).fit(rich(0, n=30), rich(1, n=30), seed=3)
    signals = gaps(0)
    noisy(model._network)
    for _ in range(2):  # an answer does not rest on weights of before
        with torch.no_grad():
            for weight in model._network.parameters():
                weight.mul_(0.8)
        with torch.inference_mode():
            batch = model._read(signals)
            wanted, found = model._network(batch), answer(model._network, batch)
        there, spoken = signals.available, signals.scored
        assert 0 < spoken.sum() < spoken.size
        for key, expected, known in (
            ("score", wanted.score, spoken),
            ("weights", wanted.weights, spoken),
            ("residual", wanted.residual, spoken),
            ("confidence", torch.sigmoid(wanted.confidence), there),
        ):
            value = getattr(found, key)
            assert np.isnan(value[~known]).all()
            close(value[known], expected.numpy()[known])
        assert found.brought is not None
        close(found.brought, wanted.brought.numpy())
        assert (found.brought[~there] == 0).all()


LOGIT = st.floats(-200, 200, width=32)


@given(st.lists(st.tuples(LOGIT, LOGIT, st.booleans()), min_size=1, max_size=6))
@settings(deadline=None)
def test_weights_are_the_softmax_however_extreme(bases: list[tuple[float, float, bool]]) -> None:
    gate, confidence, here = (np.array(part) for part in zip(*bases, strict=True))
    n = len(bases)
    said = np.concatenate([gate, confidence, [0.0]]).astype(np.float32)[None, None]
    one = np.ones((1, 1, n), dtype=np.float32)
    (score, residual), (weights, chance, brought) = (
        np.empty((2, 1, 1), np.float32),
        np.stack([one] * 3),
    )
    start = np.zeros(n, dtype=np.float32)
    _blend(
        said, one, one, here[None, None], start, one[0, 0], start,
        score, weights, chance, residual, brought,
    )  # fmt: skip
    if not here.any():
        assert np.isnan(weights).all()
        assert np.isnan(score).all()
        return
    logits = np.where(here, gate - np.logaddexp(0, -confidence), -np.inf)
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(weights[0, 0], expected / expected.sum(), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(score, 1, rtol=1e-5)  # every base says 1


def test_many_requests_are_answered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = make_fusion("meta", SHORT).fit(planted(0, n=30), planted(1, n=30), seed=3)
    noisy(model._network)
    signals = planted(2, n=7).signals
    whole = model.forward(signals)
    monkeypatch.setattr("crossfade.fusion.gate.model.REQUESTS_AT_ONCE", 3)
    pieces = model.forward(signals)
    for key in ("score", "weights", "confidence", "residual", "brought"):
        np.testing.assert_array_equal(getattr(pieces, key), getattr(whole, key))
