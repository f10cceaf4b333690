"""Requests whose first base is right more often than the others, with context and gaps."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from crossfade.fusion.base import Columns, Fused, LabelledSignals, Signals
from crossfade.fusion.registry import FUSIONS, make_fusion
from crossfade.fusion.scaling import reciprocal_rank, zscore
from crossfade.types import Floats

NAN = math.nan

SMALL: dict[str, dict[str, Any]] = {
    "maml": {"n_episodes": 40, "meta_batch": 4},
    "lambdamart": {"leaves": [4], "min_data": [2], "max_trees": 8, "lambda_l2": 1.0},
    "auto": {"candidates": ["ridge"], "n_folds": 2, "resamples": 100},
}
"""Settings that suit a few dozen requests."""

NETWORKS = {"maml", "meta", "attention", "hypernetwork", "personalised", "auto"}
"""Their matrix products round differently in batches of other sizes; `auto` may use one."""

CLASSIC = [name for name in FUSIONS if name not in NETWORKS]
NOTHING_LEARNED = {"rrf", "combsum"}

USER = ("log_positives", "recency")
ITEM = ("log_age_days", "genre_match")


def problem(
    seed: int = 0, n: int = 24, n_items: int = 12, n_bases: int = 3, *, padded: int = 2
) -> LabelledSignals:
    """Random scores; wanted is what base 0 scores highest, give or take.

    One score in five is missing, the last candidates of every second list are padding, and the
    user columns hold a track record for three people in four.
    """
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(n, n_items, n_bases)).astype(np.float32)
    truth = raw[:, :, 0] + 0.5 * rng.normal(size=(n, n_items))
    raw[rng.random(raw.shape) < 0.2] = NAN
    mask = np.ones((n, n_items), dtype=np.bool_)
    mask[::2, n_items - padded :] = False
    raw[~mask] = NAN
    truth[~mask] = -np.inf
    relevant = (truth >= np.sort(truth, axis=1)[:, -2:-1]) & mask
    track = rng.random((n, n_bases)).astype(np.float32)
    has = (rng.random((n, 1)) < 0.75).astype(np.float32)
    about = rng.normal(size=(n, len(USER))).astype(np.float32)
    about[rng.random(about.shape) < 0.2] = NAN
    item = rng.normal(size=(n, n_items, len(ITEM))).astype(np.float32)
    item[rng.random(item.shape) < 0.2] = NAN
    bases = tuple(f"b{base}" for base in range(n_bases))
    return LabelledSignals(
        Signals(
            score=each_list(raw, zscore),
            mask=mask,
            reciprocal_rank=each_list(raw, reciprocal_rank),
            user=np.hstack([about, track, np.float32(2) * has]),
            item=item,
            user_row=np.arange(n, dtype=np.int32),
            columns=Columns(
                bases, (*USER, *(f"track_{base}" for base in bases), "log_track_items"), ITEM
            ),
        ),
        item_row=np.where(mask, np.arange(n_items, dtype=np.int32), -1),
        relevant=relevant,
        n_relevant=relevant.sum(axis=1).astype(np.float64),
    )


def each_list(raw: Floats, scale: Any) -> Floats:
    """Scale the scores ``(B, L, S)`` of each request and base."""
    parts = [scale(np.ascontiguousarray(raw[:, :, base])) for base in range(raw.shape[2])]
    return np.stack(parts, axis=-1)


def with_signals(labelled: LabelledSignals, **changed: Any) -> LabelledSignals:
    """The same requests with other signals."""
    return replace(labelled, signals=replace(labelled.signals, **changed))


def plain(score: Any, relevant: Any = None, **more: Any) -> LabelledSignals:
    """Labelled signals from nested lists of scores ``(B, L, S)``; the ranks are their own."""
    array = np.array(score, dtype=np.float32)
    wanted = np.zeros(array.shape[:2], dtype=np.bool_) if relevant is None else np.array(relevant)
    ranks = each_list(array, reciprocal_rank)
    columns = Columns(
        tuple(f"b{base}" for base in range(array.shape[2])),
        tuple(more.pop("user_names", ())),
        tuple(more.pop("item_names", ())),
    )
    context: dict[str, Any] = {k: np.array(v, dtype=np.float32) for k, v in more.items()}
    return LabelledSignals(
        Signals(
            array,
            np.ones(array.shape[:2], dtype=np.bool_),
            reciprocal_rank=ranks,
            columns=columns,
            **context,
        ),
        item_row=np.broadcast_to(np.arange(array.shape[1], dtype=np.int32), array.shape[:2]),
        relevant=wanted.astype(np.bool_),
        n_relevant=wanted.sum(axis=1).astype(np.float64),
    )


def fit(name: str, train: LabelledSignals, validation: LabelledSignals, seed: int = 0) -> Any:
    """A model of that name, fitted with settings for small problems."""
    return make_fusion(name, SMALL.get(name)).fit(train, validation, seed)


def promises(fused: Fused, signals: Signals) -> None:
    """Shapes, types, and NaN exactly where nothing can be said."""
    there = signals.available
    assert fused.score.shape == signals.mask.shape
    assert fused.weights.shape == signals.score.shape
    assert fused.score.dtype == fused.weights.dtype == np.float32
    assert not np.isinf(fused.score).any()
    assert np.isnan(fused.score[~there.any(axis=-1)]).all()
    known = ~np.isnan(fused.weights).any(axis=-1)
    assert np.isnan(fused.weights[~known]).all(), "weights are known of all bases or of none"
    np.testing.assert_allclose(fused.weights[known].sum(axis=-1), 1, rtol=1e-5)
    assert (fused.weights[known] >= 0).all()
    assert (fused.weights[known][~there[known]] == 0).all()
    if fused.confidence is not None:
        assert (np.isnan(fused.confidence) == ~there).all()
        shown = fused.confidence[there]
        assert ((shown >= 0) & (shown <= 1)).all()
