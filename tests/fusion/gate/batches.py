"""Small gates and what they read."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tests.fusion.problem import problem, with_signals

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.inputs import GateBatch, GateReader
from crossfade.fusion.gate.network import GateNetwork
from crossfade.training.config import TrainConfig

SMALL = GateConfig(
    hidden=8, n_layers=2, user_dim=4, item_dim=4, dropout=0.0, train=TrainConfig(epochs=2, lr=1e-2)
)


def read(labelled: LabelledSignals, on: LabelledSignals | None = None) -> GateBatch:
    """As read by a reader fitted on the same signals, or on others."""
    fitted = labelled if on is None else on
    return GateReader.fit(fitted.signals, "meta").read_labelled(labelled)


def network(
    labelled: LabelledSignals, start: list[float] | None = None, **settings: Any
) -> GateNetwork:
    """An untrained network for such signals."""
    n_bases = labelled.signals.score.shape[2]
    weights = np.full(n_bases, 1 / n_bases) if start is None else np.array(start)
    torch.manual_seed(0)
    return GateNetwork(
        SMALL.changed(**settings), weights.astype(np.float32), labelled.signals.columns
    ).eval()


def stirred(net: GateNetwork, by: float = 1.0) -> GateNetwork:
    """The same network with heads that say something, as after training."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return net


def planted(seed: int, n: int = 160, n_items: int = 20) -> LabelledSignals:
    """Wanted is the favourite of base 0 for people whose first column is above 0, else of base 1."""
    labelled = problem(seed, n, n_items, n_bases=2, padded=0)
    rng = np.random.default_rng(seed + 1000)
    score = rng.normal(size=(n, n_items, 2)).astype(np.float32)
    place = np.argsort(np.argsort(-score, axis=1), axis=1) + 1
    user = labelled.signals.user
    assert user is not None
    user = user.copy()
    user[:, 0] = rng.choice([-1.0, 1.0], size=n)
    right = (user[:, 0] <= 0).astype(np.int64)
    best = np.take_along_axis(place, right[:, None, None], axis=2)[:, :, 0]
    relevant = best == 1
    labelled = with_signals(
        labelled,
        score=score,
        reciprocal_rank=(61 / (60 + place)).astype(np.float32),
        user=user,
    )
    return replace(labelled, relevant=relevant, n_relevant=relevant.sum(axis=1).astype(np.float64))
