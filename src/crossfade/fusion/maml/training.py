"""The outer loop: episodes as training steps, their loss, and what validation looks at."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from crossfade.context.scaling import ContextScaler
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.maml.adapting import REQUESTS_AT_ONCE, adapted_weights, blended
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import meta_loss
from crossfade.fusion.maml.network import Lists, MamlGate, inner_of, lists_of
from crossfade.fusion.maml.sampling import DEPTH, Sampler
from crossfade.fusion.maml.tasks import Episodes, split_list, teachable
from crossfade.fusion.static import StaticBlend, list_ndcg
from crossfade.types import Floats

SHARPNESSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""What training may start from."""


class TaskBatch(NamedTuple):
    """Support and query lists of the episodes of one outer step."""

    support: Lists
    query: Lists


class ContextReader:
    """Columns of requests as the gate reads them: scaled, 0 where missing, and which are known.

    Args:
        scaler: Fitted on the training requests; None where there is no context.
    """

    def __init__(self, scaler: ContextScaler | None) -> None:
        self.scaler = scaler

    @classmethod
    def fit(cls, signals: Signals) -> "ContextReader":
        """Learn scales."""
        has = signals.user is not None and signals.user.shape[1] > 0
        return cls(ContextScaler.fit(signals.user) if has and signals.user is not None else None)

    @property
    def width(self) -> int:
        """Columns of what `read` gives."""
        return 0 if self.scaler is None else 2 * len(self.scaler.centre)

    def read(self, signals: Signals) -> Floats:
        """Shape ``(B, width)``; requests that come without the columns know none of them."""
        n = len(signals.mask)
        if self.scaler is None or signals.user is None:
            return np.zeros((n, self.width), dtype=np.float32)
        values, known = self.scaler.transform(signals.user)
        return np.hstack([values, known]).astype(np.float32)


class EpisodeSteps:
    """The training steps of an epoch: meta-batches of episodes, each list cut to some candidates.

    Args:
        episodes: All there are.
        reader: Of the requests.
        sampler: Chooses among them.
        config: Sizes.
    """

    def __init__(
        self, episodes: Episodes, reader: ContextReader, sampler: Sampler, config: MamlConfig
    ) -> None:
        self._sides = tuple(
            (side, reader.read(side.signals)) for side in (episodes.support, episodes.query)
        )
        self._sampler, self._config = sampler, config
        self._epoch = 1
        self._n_steps = max(1, round(config.n_episodes / (config.meta_batch * config.train.epochs)))

    def __len__(self) -> int:
        return self._n_steps

    @property
    def n_examples(self) -> int:
        """Episodes drawn per epoch."""
        return self._n_steps * self._config.meta_batch

    def begin_epoch(self, number: int) -> None:
        """Told the number of the epoch, from 1: a curriculum depends on it."""
        self._epoch = number

    def epoch(self, rng: np.random.Generator) -> Iterator[TaskBatch]:
        """Meta-batches."""
        config = self._config
        for step in range(self._n_steps):
            progress = (self._epoch - 1 + step / self._n_steps) / config.train.epochs
            places = self._sampler.draw(config.meta_batch, progress, rng)
            support, query = (
                drawn(side.take(places), context[places], config.n_candidates, rng)
                for side, context in self._sides
            )
            yield TaskBatch(support, query)


def drawn(labelled: LabelledSignals, context: Floats, n: int, rng: np.random.Generator) -> Lists:
    """Lists cut to ``n`` candidates: all wanted ones, the rest drawn from those a base can score.

    Args:
        labelled: With fewer than ``n`` wanted candidates each.
        context: What is read of the requests.
        n: Candidates kept.
        rng: Draws.
    """
    wanted, counts = teachable(labelled), labelled.signals.scored
    key = rng.random(wanted.shape) + wanted - 2.0 * ~counts
    order = np.argsort(-key, axis=1)[:, :n]
    n_wanted, n_other = wanted.sum(axis=1), (counts & ~wanted).sum(axis=1)
    n_drawn = np.minimum(n_other, order.shape[1] - n_wanted)
    each = np.log(np.maximum(n_other, 1) / np.maximum(n_drawn, 1)).astype(np.float32)
    signals = labelled.signals
    cut = LabelledSignals(
        Signals(
            np.take_along_axis(signals.score, order[:, :, None], axis=1),
            np.take_along_axis(signals.mask, order, axis=1),
        ),
        np.take_along_axis(labelled.item_row, order, axis=1),
        np.take_along_axis(wanted, order, axis=1),
        labelled.n_relevant,
    )
    return lists_of(cut, context, np.where(cut.relevant, np.float32(0), each[:, None]))


def outer_loss(gate: MamlGate, batch: TaskBatch, config: MamlConfig) -> Tensor:
    """Query loss after adapting, mixed with the query loss without.

    In full precision on every device: the second-order terms do not survive less.
    """
    with torch.autocast(gate.origin.device.type, enabled=False):
        support = gate.read(batch.support).shrunk(config.shrink)
        query = gate.read(batch.query)
        start = gate.start()
        total = (1 - config.unadapted) * meta_loss(
            start, gate.loss, support, query, gate.rates(config), inner=inner_of(config)
        )
        if config.unadapted:
            plain: Tensor = vmap(gate.loss, in_dims=(None, 0))(start, query)
            total = total + config.unadapted * plain.mean()
    return total


class Validation:
    """Mean of two values of NDCG@10 on lists that training does not see.

    That of all lists without adaptation, and that of the later wanted candidates after adapting
    to the earlier ones, where a list has two or more.

    Args:
        validation: Lists.
        reader: Of the requests.
        config: The inner loop.
        rng: Cuts the lists.
    """

    def __init__(
        self,
        validation: LabelledSignals,
        reader: ContextReader,
        config: MamlConfig,
        rng: np.random.Generator,
    ) -> None:
        self._config = config
        self._whole = _slim(validation)
        self._context = reader.read(validation.signals)
        self._cut = split_list(self._whole, rng)
        self._cut_context = reader.read(self._cut.query.signals)

    def __call__(self, gate: MamlGate) -> float:
        """The value; the gate is not changed."""
        values = [self._unadapted(gate)]
        if len(self._cut):
            values.append(self._adapted(gate))
        return float(np.mean(values))

    def _unadapted(self, gate: MamlGate) -> float:
        fused = blended(gate, gate.start(), self._whole.signals, self._context)
        return _quality(fused, self._whole)

    def _adapted(self, gate: MamlGate) -> float:
        cut, parts = self._cut, []
        inner = inner_of(self._config)
        for start in range(0, len(cut), REQUESTS_AT_ONCE):
            places = np.arange(start, min(start + REQUESTS_AT_ONCE, len(cut)))
            support, query = cut.support.take(places), cut.query.take(places)
            context = self._cut_context[places]
            weights = adapted_weights(gate, support, context, self._config, inner)
            parts.append(blended(gate, weights, query.signals, context))
        return _quality(np.concatenate(parts), cut.query)


def first_sharpness(static: StaticBlend, train: LabelledSignals) -> float:
    """Which of `SHARPNESSES` gives the static blend the smallest listwise loss."""
    score = static.forward(train.signals).score.astype(np.float64)
    known = np.isfinite(score)
    wanted = train.relevant & known
    n = np.maximum(wanted.sum(axis=1), 1)

    def loss(sharpness: float) -> float:
        scaled = np.where(known, sharpness * score, -np.inf)
        best = np.max(scaled, axis=1, initial=0.0)[:, None]
        log_total = best + np.log(np.exp(scaled - best).sum(axis=1, keepdims=True) + 1e-300)
        each = np.where(wanted, log_total - np.where(known, scaled, 0.0), 0.0)
        return float((each.sum(axis=1) / n).mean())

    return min(SHARPNESSES, key=loss)


def _quality(score: Floats, labelled: LabelledSignals) -> float:
    return float(list_ndcg(score, labelled.relevant, labelled.n_relevant, DEPTH).mean())


def _slim(labelled: LabelledSignals) -> LabelledSignals:
    """Without what the gate does not look at: it is large."""
    return replace(labelled, signals=replace(labelled.signals, item=None, reciprocal_rank=None))
