"""Measuring who is trusted when, list by list, so that no block is held at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from crossfade.evaluation.landscape import UNKNOWN, Landscape, WeightBin
from crossfade.fusion.auto import AutoFusion
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.types import Bools, Doubles, Floats, Ints

AGE_DAYS = (1, 3, 7, 30, 90, 365, 1095)
"""Ages of items that separate bins."""

AGES = (
    UNKNOWN,
    "under a day",
    "1–3 days",
    "3–7 days",
    "7–30 days",
    "30–90 days",
    "90–365 days",
    "1–3 years",
    "over 3 years",
)

MOST_EVENTS = 2**24
"""Histories of more events share the last bin."""


@runtime_checkable
class WeighsModalities(Protocol):
    """A fusion model that weighs what it reads of context, as `MetaFusion` does."""

    def modality_weights(self, signals: Signals) -> dict[str, Floats]:
        """By side and modality, of requests ``(B,)`` and of candidates ``(B, L)``."""


class WeightSums:
    """Adds up the weights of the bases over the lists of a block.

    Args:
        model: Name of what weighs.
        bases: Labels, in order.
        fusion: What weighs, which is asked whether some of its members weigh no bases; None if
            it has no members.
    """

    def __init__(
        self, model: str, bases: Sequence[str], fusion: FusionModel[Any] | None = None
    ) -> None:
        self.model, self.bases, self._fusion = model, tuple(bases), fusion
        self._unweighed: dict[str, float] | None = None
        history = ["none", *(_span(2**p, 2 ** (p + 1) - 1) for p in range(25))]
        self._history = _Bins(history, len(self.bases))
        self._age = _Bins(AGES, len(self.bases))
        self._n, self._n_without = 0, 0
        self._modalities: dict[str, tuple[float, int]] = {}

    def followed(
        self, parts: Iterable[tuple[LabelledSignals, Fused]]
    ) -> Iterator[tuple[LabelledSignals, Fused]]:
        """The same parts, each added on its way."""
        for lists, fused in parts:
            self.add(lists, fused)
            yield lists, fused

    def add(self, lists: LabelledSignals, fused: Fused) -> None:
        """Take in some lists, and what the model said of them."""
        scored = np.isfinite(fused.score)
        weighed = scored & ~np.isnan(fused.weights).all(axis=-1)
        self._n += int(weighed.sum())
        self._n_without += int((scored & ~weighed).sum())
        if self._unweighed is None and weighed.any():
            self._unweighed = unweighed(self._fusion, lists.signals)
        self._add_modalities(lists.signals)
        # A base that cannot score weighs nothing there.
        weights = np.nan_to_num(fused.weights[weighed]).astype(np.float64)
        request = np.nonzero(weighed)[0]
        self._history.add(_history_bin(lists)[request], request, weights)
        self._age.add(_age_bin(lists)[weighed], request, weights)

    def landscape(self) -> Landscape:
        """What was found."""
        by_age = self._age.rows(self.bases)
        some = any(one.n and one.name != UNKNOWN for one in by_age)
        return Landscape(
            self.model,
            self.bases,
            self._n,
            self._n_without,
            self._history.rows(self.bases),
            by_age if some else (),
            self._unweighed or {},
            {name: total / n for name, (total, n) in self._modalities.items()},
        )

    def _add_modalities(self, signals: Signals) -> None:
        for label, model, some in _acting(self._fusion, signals):
            if not isinstance(model, WeighsModalities):
                continue
            for name, weights in model.modality_weights(some).items():
                # Of candidates the padding is left out.
                mine = weights if weights.ndim == 1 else weights[some.mask]
                total, n = self._modalities.get(label + name, (0.0, 0))
                total += float(mine.sum(dtype=np.float64))
                self._modalities[label + name] = (total, n + mine.size)


def unweighed(fusion: FusionModel[Any] | None, signals: Signals) -> dict[str, float]:
    """Share of each member of a combination that weighs no bases, by name.

    Args:
        fusion: Fitted.
        signals: One request or more; the fullest list is asked about.
    """
    if not isinstance(fusion, AutoFusion):
        return {}
    fullest = signals.available.any(axis=2).sum(axis=1).argmax(keepdims=True)
    one = signals.take(fullest)
    return {
        name: share
        for name, share in fusion.shares.items()
        if share > 0
        and name in fusion.members
        and np.isnan(fusion.members[name].forward(one).weights).all()
    }


def _acting(
    fusion: FusionModel[Any] | None, signals: Signals
) -> Iterator[tuple[str, FusionModel[Any], Signals]]:
    """What answers: the model itself, or of a combination each member under its name, where it serves."""
    if isinstance(fusion, AutoFusion):
        served = signals.take(np.flatnonzero(fusion.serves(signals)))
        for name, share in fusion.shares.items():
            if share > 0 and name in fusion.members:
                yield f"{name}.", fusion.members[name], served
    elif fusion is not None:
        yield "", fusion, signals


class _Bins:
    def __init__(self, names: Sequence[str], n_bases: int) -> None:
        self.names = names
        self.n, self.n_requests = (np.zeros(len(names), dtype=np.int64) for _ in range(2))
        self.total = np.zeros((len(names), n_bases))

    def add(self, place: Ints, request: Ints, weights: Doubles) -> None:
        self.n += np.bincount(place, minlength=len(self.names))
        np.add.at(self.total, place, weights)
        asked = np.unique(np.column_stack([place, request]), axis=0)
        self.n_requests += np.bincount(asked[:, 0], minlength=len(self.names))

    def rows(self, bases: Sequence[str]) -> tuple[WeightBin, ...]:
        """Bins from the first that holds something to the last."""
        held = np.flatnonzero(self.n)
        if not len(held):
            return ()
        return tuple(
            WeightBin(
                self.names[at],
                int(self.n[at]),
                int(self.n_requests[at]),
                dict(zip(bases, (self.total[at] / self.n[at]).tolist(), strict=True))
                if self.n[at]
                else {},
            )
            for at in range(held[0], held[-1] + 1)
        )


def _history_bin(lists: LabelledSignals) -> Ints:
    """0 without a wanted event, else one more than the power of 2 that is reached; ``(B,)``."""
    user, names = lists.signals.user, lists.signals.columns.user
    assert user is not None
    n = np.rint(np.expm1(user[:, names.index("log_positives")].astype(np.float64)))
    power = np.log2(np.clip(n, 1, MOST_EVENTS)).astype(np.int64)
    return np.where(n > 0, 1 + power, 0)


def _age_bin(lists: LabelledSignals) -> Ints:
    """0 where the age is unknown, ``(B, L)``."""
    item, names = lists.signals.item, lists.signals.columns.item
    assert item is not None
    days = np.expm1(item[..., names.index("log_age_days")].astype(np.float64))
    known: Bools = ~np.isnan(days)
    return np.where(known, 1 + np.searchsorted(AGE_DAYS, days, side="right"), 0)


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
