"""People of two tastes, and lists made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np

from crossfade.fusion.base import Columns, LabelledSignals, Signals

COLUMNS = Columns(
    ("left", "right"),
    ("user_type_explorer", "user_type_loyalist", "log_positives", "hour_sin", "hour_cos"),
    ("completeness",),
)


def lists(
    relevant: Any, score: Any = None, user_row: list[int] | None = None, **more: Any
) -> LabelledSignals:
    """Lists with random scores of two bases where none are given; context only where given."""
    wanted = np.array(relevant, dtype=np.bool_)
    shape = wanted.shape
    values = (
        np.random.default_rng(0).normal(size=(*shape, 2)) if score is None else np.array(score)
    ).astype(np.float32)
    return LabelledSignals(
        Signals(
            values,
            more.get("mask", np.ones(shape, dtype=np.bool_)),
            user=None if "user" not in more else np.array(more["user"], dtype=np.float32),
            item=None if "item" not in more else np.array(more["item"], dtype=np.float32),
            user_row=None if user_row is None else np.array(user_row, dtype=np.int32),
            columns=COLUMNS,
        ),
        item_row=np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape),
        relevant=wanted,
        n_relevant=wanted.sum(axis=1).astype(np.float64),
    )


def two_tastes(n: int, seed: int = 0, n_items: int = 40, n_wanted: int = 8) -> LabelledSignals:
    """Every second person wants what the left base ranks first, the others what the right does.

    Nothing in their context says which; only reactions can.
    """
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, n_items, 2)).astype(np.float32)
    base = np.arange(n) % 2
    own = score[np.arange(n), :, base] + 0.3 * rng.normal(size=(n, n_items))
    wanted = own >= np.sort(own, axis=1)[:, [-n_wanted]]
    user = rng.normal(size=(n, 5)).astype(np.float32)
    made = lists(wanted, score, list(range(n)), user=user)
    return replace(made, n_relevant=wanted.sum(axis=1).astype(np.float64))
