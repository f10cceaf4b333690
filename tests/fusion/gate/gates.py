"""What the tests of the learned gates share: a planted rule, and claims they all keep."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tests.fusion.problem import each_list

from crossfade.fusion.base import Columns, Fused, LabelledSignals, Signals
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.scaling import reciprocal_rank, zscore
from crossfade.fusion.static import StaticBlend, list_ndcg, tune_static
from crossfade.types import Bools, Floats

NAN = np.float32(np.nan)

TINY: dict[str, Any] = {
    "hidden": 16,
    "user_dim": 4,
    "item_dim": 4,
    "n_layers": 2,
    "dropout": 0.0,
    "n_negatives": 20,
    "train": {"epochs": 12, "lr": 0.01},
}
"""A network that learns the planted rule in a second."""

UNTRAINED: dict[str, Any] = {**TINY, "train": {"epochs": 1, "lr": 1e-12}}
"""The same after steps that move nothing."""


def planted(
    seed: int = 0, n: int = 160, n_items: int = 15, *, first: Bools | None = None, told: bool = True
) -> LabelledSignals:
    """Lists in which base 0 is right for some requests, base 1 for the others, base 2 for none.

    Args:
        seed: Of all draws.
        n: Requests.
        n_items: Candidates of each.
        first: For which requests base 0 is right, ``(n,)``; every second one by default.
        told: Whether the column ``kind`` of the requests says so; else it is noise.
    """
    rng = np.random.default_rng(seed)
    first = np.arange(n) % 2 == 0 if first is None else first
    raw = rng.normal(size=(n, n_items, 3)).astype(np.float32)
    right = np.where(first[:, None], raw[:, :, 0], raw[:, :, 1])
    truth = right + 0.2 * rng.normal(size=right.shape)
    raw[rng.random(raw.shape) < 0.1] = NAN
    relevant = truth >= np.sort(truth, axis=1)[:, -2:-1]
    noise = rng.normal(size=(n, 2)).astype(np.float32)
    kind = np.where(first, 1, -1).astype(np.float32) if told else noise[:, 0]
    return LabelledSignals(
        Signals(
            each_list(raw, zscore),
            np.ones((n, n_items), dtype=np.bool_),
            reciprocal_rank=each_list(raw, reciprocal_rank),
            user=np.stack([kind, noise[:, 1]], axis=1),
            item=rng.normal(size=(n, n_items, 2)).astype(np.float32),
            user_row=np.arange(n, dtype=np.int32),
            columns=Columns(("a", "b", "c"), ("kind", "noise"), ("age", "genre")),
        ),
        np.broadcast_to(np.arange(n_items, dtype=np.int32), (n, n_items)),
        relevant,
        relevant.sum(axis=1).astype(np.float64),
    )


def fit(name: str, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    """A model of that name that learned the planted rule, unless the settings say otherwise."""
    train, validation = planted(0, **more), planted(1, **more)
    return make_fusion(name, TINY if settings is None else settings).fit(train, validation, seed=3)


def ndcg(score: Floats, labelled: LabelledSignals) -> float:
    """Mean NDCG@10."""
    return float(list_ndcg(score, labelled.relevant, labelled.n_relevant, 10).mean())


def says(signals: Signals) -> Floats:
    """What each base says before training: its score and half its scaled place, NaN where nothing."""
    assert signals.reciprocal_rank is not None
    place = 61 / signals.reciprocal_rank - 60
    mixed = signals.score + 0.5 * (3 - np.log(place)) / 2
    return np.asarray(mixed, dtype=np.float32)


def noisy(network: torch.nn.Module, seed: int = 0) -> None:
    """Add noise to every weight, so that no layer is silent."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.5 * torch.randn(weight.shape, generator=draw))


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


# -- claims ----------------------------------------------------------------------------


def starts_at_the_static_blend(name: str) -> None:
    """Scores, weights and residual before training are those of `StaticBlend`."""
    train, signals = planted(0), planted(2).signals
    tuned = tune_static(train.signals, train.relevant, train.n_relevant).weights
    config = make_fusion(name).config
    start = (tuned + config.floor) / (tuned + config.floor).sum()
    expected = StaticBlend(start).forward(replace(signals, score=says(signals)))
    found = fit(name, UNTRAINED).forward(signals)
    close(found.weights, expected.weights)
    close(found.score, np.log1p(np.e) * expected.score)  # the first sharpness is softplus(1)
    close(found.residual[~np.isnan(found.score)], 0)


def one_request_equals_seven(model: Any) -> None:
    """Other requests in a batch change nothing but rounding, whatever they are."""
    seven = planted(2, n=7).signals
    together = model.forward(seven)
    for place in range(7):
        alone = model.forward(seven.take(np.array([place])))
        _same_but_rounding(alone, together, np.array([place]))
    others = planted(9, n=7).signals
    score = others.score.copy()
    score[3] = seven.score[3]
    parts: dict[str, Any] = {}
    for key in ("reciprocal_rank", "user", "item", "user_row"):
        array = np.array(getattr(others, key))
        array[3] = getattr(seven, key)[3]
        parts[key] = array
    mixed = model.forward(replace(others, score=score, **parts))
    _same_but_rounding(model.forward(seven.take(np.array([3]))), mixed, np.array([3]))


def _same_but_rounding(one: Fused, other: Fused, places: Any) -> None:
    for key in ("score", "weights", "confidence", "residual"):
        close(getattr(one, key), getattr(other, key)[places])


def order_of_candidates_does_not_matter(model: Any) -> None:
    """Candidates in another order get what they got."""
    signals = planted(2, n=7).signals
    order = np.random.default_rng(0).permutation(signals.mask.shape[1])
    names = ("score", "mask", "reciprocal_rank", "item")
    moved: dict[str, Any] = {key: getattr(signals, key)[:, order] for key in names}
    mixed = replace(signals, **moved)
    straight, crooked = model.forward(signals), model.forward(mixed)
    for key in ("score", "weights", "confidence", "residual"):
        close(getattr(crooked, key), getattr(straight, key)[:, order])


def a_base_that_is_not_there_has_no_influence(model: Any) -> None:
    """No weight, and nothing that stands in its place counts."""
    signals = planted(2, n=7).signals
    there = signals.available
    assert signals.reciprocal_rank is not None
    rubbish = np.where(there, signals.reciprocal_rank, np.float32(0.9))
    fused = model.forward(signals)
    scored = there.any(axis=-1)
    assert (fused.weights[scored][~there[scored]] == 0).all()
    np.testing.assert_equal(
        model.forward(replace(signals, reciprocal_rank=rubbish)).score, fused.score
    )
    # And inside, where its place holds zeros.
    batch = model._read(signals)
    zeros = ~batch.there
    spoiled = replace(
        batch, **{key: getattr(batch, key).masked_fill(zeros, 7.0) for key in ("score", "rank")}
    )
    with torch.no_grad():
        one, other = model._network(batch), model._network(spoiled)
    for key in ("score", "weights", "residual"):
        torch.testing.assert_close(getattr(one, key), getattr(other, key), rtol=0, atol=0)


def weights_are_those_that_acted(model: Any, says_of: Any) -> None:
    """They sum to 1, and with what the bases say they give the score, the residual apart.

    Args:
        model: A fitted one.
        says_of: From network and batch to what the bases say, times the sharpness, ``(B, L, S)``.
    """
    noisy(model._network)
    signals = planted(2, n=7).signals
    fused = model.forward(signals)
    scored = signals.available.any(axis=-1)
    np.testing.assert_allclose(fused.weights[scored].sum(axis=-1), 1, rtol=1e-5)
    batch: GateBatch = model._read(signals)
    with torch.no_grad():
        said = says_of(model._network, batch).numpy()
    mean = (fused.weights * said).sum(axis=-1)
    close((fused.score - fused.residual)[scored], mean[scored])
    assert np.abs(fused.residual[scored]).max() > 0.01


def a_restored_model_is_the_same_to_the_bit(model: Any) -> None:
    """After state and restore."""
    signals = planted(2, n=7).signals
    again = type(model).restore(model.config.model_dump(), model.state())
    one, other = model.forward(signals), again.forward(signals)
    for key in ("score", "weights", "confidence", "residual"):
        np.testing.assert_equal(getattr(other, key), getattr(one, key))
    for key, array in model.state().items():
        np.testing.assert_array_equal(again.state()[key], array)


def learns_whom_to_trust(model: Any) -> None:
    """Where the context decides which base is right, far better than one blend for all."""
    train, test = planted(0), planted(2)
    blend = tune_static(train.signals, train.relevant, train.n_relevant)
    fused = model.forward(test.signals)
    assert ndcg(fused.score, test) > ndcg(blend.forward(test.signals).score, test) + 0.1
    everywhere = np.asarray(test.signals.available.all(axis=-1))
    first, second = everywhere.copy(), everywhere.copy()
    first[1::2], second[::2] = False, False
    for place, (which, other) in enumerate(((first, 1), (second, 0))):
        mean = fused.weights[which].mean(axis=0)
        assert mean[place] > 2 * mean[other], "the base that is right is trusted"
        assert mean[place] > 4 * mean[2], "and the one that is never right is not"


def repeats_to_the_bit(name: str) -> None:
    """Equal seeds, equal models; another seed, another model."""
    settings = {**TINY, "dropout": 0.2, "train": {"epochs": 2, "lr": 0.01}}
    train, validation = planted(0, n=40), planted(1, n=40)
    one, two, three = (
        make_fusion(name, settings).fit(train, validation, seed=seed).state() for seed in (3, 3, 4)
    )
    for key, array in one.items():
        np.testing.assert_array_equal(two[key], array)
    assert any((three[key] != array).any() for key, array in one.items() if key.startswith("net."))
