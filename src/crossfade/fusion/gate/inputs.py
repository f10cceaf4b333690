"""From signals to what a gate reads; the same for training and for serving."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numba
import numpy as np
import torch
from torch import Tensor

from crossfade.context.columns import source_names, with_source
from crossfade.context.scaling import ContextScaler
from crossfade.errors import DataError
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.fusion.scaling import OFFSET
from crossfade.types import Arrays, Bools, Floats, Ints

Reading = Literal["plain", "extractors"]
"""How a gate reads context; see `GateConfig.reading`."""

N_AGREEMENT = 5
MIDDLE_RANK, RANK_SPREAD = 3.0, 2.0
"""Centre and spread of the logarithm of a place in a list of some hundreds."""


@dataclass(frozen=True, eq=False)
class GateBatch:
    """Some requests as tensors: B requests, L candidates, S bases.

    Attributes:
        score: Scores, 0 where a base gives none, ``(B, L, S)``.
        rank: Minus the logarithm of the place in each base's list, centred, 0 likewise.
        there: Where a base gives a score, bool, ``(B, L, S)``.
        base: Scores, ranks, which are there, and how far the bases agree, ``(B, L, Cb)``.
        item: Context of candidates and which of it is known, ``(B, L, 2 Ci)``.
        user: Context of requests and which of it is known, ``(B, 2 Cu)``.
        mask: Candidates that some base scores, bool, ``(B, L)``; the others get no score.
        relevant: Wanted ones, bool, ``(B, L)``; all False where nobody knows.
        person: Place of the asking user in a model's table, 0 for strangers, ``(B,)``.
        kept: Share of the unwanted candidates that are in the batch, above 0, ``(B,)``; 1 but in
            training, where some are drawn.
    """

    score: Tensor
    rank: Tensor
    there: Tensor
    base: Tensor
    item: Tensor
    user: Tensor
    mask: Tensor
    relevant: Tensor
    person: Tensor
    kept: Tensor

    @property
    def n_requests(self) -> int:
        """B."""
        return len(self.mask)

    def take(self, places: Tensor, candidates: Tensor | None = None) -> "GateBatch":
        """Some requests, and of each some candidates.

        Args:
            places: Requests, ``(n,)``.
            candidates: Of each of them, ``(n, l)``; None keeps all.
        """
        parts = {field.name: getattr(self, field.name)[places] for field in fields(self)}
        if candidates is not None:
            for name, part in parts.items():
                if name not in {"user", "person", "kept"}:
                    index = candidates if part.ndim == 2 else candidates[:, :, None]
                    wide = index.expand(*candidates.shape, *part.shape[2:])
                    parts[name] = part.gather(1, wide)
        return GateBatch(**parts)


@dataclass(frozen=True, eq=False)
class GateReader:
    """Scales of the context, fitted on the signals a gate learns from.

    Attributes:
        user: Of the columns of requests.
        item: Of the columns of candidates.
        user_varies: Which columns of requests were known of some and not of others, ``(Cu,)``.
            Of the other columns nothing was learned about being known, so that is not read.
            All of them for extractors, which look at no value that is not marked as known.
        item_varies: Likewise of candidates, ``(Ci,)``.
        reading: How the gate reads; extractors get a column more of candidates, see
            `item_names`.
    """

    user: ContextScaler
    item: ContextScaler
    user_varies: Bools
    item_varies: Bools
    reading: Reading = "plain"

    @classmethod
    def fit(cls, signals: Signals, name: str, reading: Reading = "plain") -> "GateReader":
        """Learn scales.

        Raises:
            DataError: If the signals have no context.
        """
        _, user, item = _context(signals, name)
        item = _columns(signals.columns, item[signals.mask], reading)
        scalers = ContextScaler.fit(user), ContextScaler.fit(item)
        if reading == "extractors":
            all_user, all_item = (np.ones(part.shape[-1], dtype=np.bool_) for part in (user, item))
            return cls(*scalers, all_user, all_item, reading)
        return cls(*scalers, _varies(user), _varies(item))

    def read(self, signals: Signals, person: Ints | None = None) -> GateBatch:
        """Signals as tensors, without labels.

        Raises:
            DataError: If the signals have no context.
        """
        ranks, user, item = _context(signals, "a gate")
        item = _columns(signals.columns, item, self.reading)
        there = signals.available
        score = np.where(there, signals.score, np.float32(0))
        rank = _scaled_ranks(ranks, there)
        base = np.empty((*there.shape[:2], 3 * there.shape[2] + N_AGREEMENT), dtype=np.float32)
        _read_bases(score, rank, there, base)
        return GateBatch(
            score=torch.from_numpy(score),
            rank=torch.from_numpy(rank),
            there=torch.from_numpy(there),
            base=torch.from_numpy(base),
            item=torch.from_numpy(_scaled(self.item, self.item_varies, item)),
            user=torch.from_numpy(_scaled(self.user, self.user_varies, user)),
            mask=torch.from_numpy(signals.scored),
            relevant=torch.zeros(signals.mask.shape, dtype=torch.bool),
            person=torch.from_numpy(
                np.zeros(len(score), dtype=np.int64) if person is None else person
            ),
            kept=torch.ones(len(score)),
        )

    def read_labelled(self, labelled: LabelledSignals, person: Ints | None = None) -> GateBatch:
        """Signals as tensors, with labels."""
        batch = self.read(labelled.signals, person)
        return replace(batch, relevant=torch.from_numpy(labelled.relevant) & batch.mask)

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        parts = {
            "user": {**self.user.to_arrays(), "varies": self.user_varies},
            "item": {**self.item.to_arrays(), "varies": self.item_varies},
        }
        return {f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, reading: Reading = "plain") -> "GateReader":
        """The inverse of `to_arrays`."""

        def scaler(name: str) -> ContextScaler:
            start = f"{name}."
            return ContextScaler.from_arrays(
                {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
            )

        user, item = (arrays[f"{name}.varies"].astype(np.bool_) for name in ("user", "item"))
        return cls(scaler("user"), scaler("item"), user, item, reading)


def item_names(columns: Columns, reading: Reading) -> tuple[str, ...]:
    """Names of the Ci columns of `GateBatch.item`; extractors also read where audio values come from."""
    return columns.item if reading == "plain" else source_names(columns.item)


def _columns(columns: Columns, item: Floats, reading: Reading) -> Floats:
    return item if reading == "plain" else with_source(item, columns.item)


def _context(signals: Signals, name: str) -> tuple[Floats, Floats, Floats]:
    """Reciprocal ranks, what is known of requests, and what is known of candidates."""
    ranks, user, item = signals.reciprocal_rank, signals.user, signals.item
    if ranks is None or user is None or item is None or not (user.shape[-1] and item.shape[-1]):
        raise DataError(
            f"{name} weighs bases by ranks and context, and these signals lack them; use a fusion such as "
            "static that needs scores alone"
        )
    return ranks, user, item


def _varies(values: Floats) -> Bools:
    known = np.isfinite(values)
    varies: Bools = np.asarray(known.any(axis=0) & ~known.all(axis=0))
    return varies


def _scaled(scaler: ContextScaler, varies: Bools, values: Floats) -> Floats:
    """Scaled values and which are known, side by side."""
    scaled, known = scaler.transform(values)
    n = values.shape[-1]
    joined = np.empty((*values.shape[:-1], 2 * n), dtype=np.float32)
    joined[..., :n], joined[..., n:] = scaled, known & varies
    return joined


def _scaled_ranks(ranks: Floats, there: Bools) -> Floats:
    """Minus the logarithm of each place, centred; 0 where a base gives none."""
    place = np.where(there, ranks, np.float32(1))
    # Reciprocal ranks are (offset + 1) / (offset + rank).
    np.subtract((OFFSET + 1) / place, OFFSET, out=place)
    np.log(np.maximum(place, 1, out=place), out=place)
    return np.where(there, (MIDDLE_RANK - place) / RANK_SPREAD, np.float32(0))


@numba.njit(cache=True, nogil=True)
def _read_bases(score: Floats, rank: Floats, there: Bools, out: Floats) -> None:
    """Scores, ranks and which are there; then how far the bases agree.

    That is mean, spread and best of the scores, best rank, and the share of bases that speak.
    """
    n_requests, n_candidates, n_bases = score.shape
    for request in range(n_requests):
        for place in range(n_candidates):
            into, n, total = out[request, place], 0, np.float32(0)
            best, first = np.float32(-np.inf), np.float32(-np.inf)
            for base in range(n_bases):
                own, speaks = score[request, place, base], there[request, place, base]
                into[base], into[n_bases + base] = own, rank[request, place, base]
                into[2 * n_bases + base] = speaks
                if speaks:
                    n, total = n + 1, total + own
                    best, first = max(best, own), max(first, rank[request, place, base])
            mean, squares = np.float64(total) / max(n, 1), 0.0
            for base in range(n_bases):
                if there[request, place, base]:
                    squares += (score[request, place, base] - mean) ** 2
            told = into[3 * n_bases :]
            told[0], told[1] = mean, np.sqrt(squares / max(n, 1))
            told[2], told[3] = (best, first) if n else (np.float32(0), np.float32(0))
            told[4] = n / n_bases
