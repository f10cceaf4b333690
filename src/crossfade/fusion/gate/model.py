"""Training a gate network and answering with it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.gate.answering import answer
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.context import modality_weights
from crossfade.fusion.gate.inputs import GateBatch, GateReader
from crossfade.fusion.gate.losses import gate_loss
from crossfade.fusion.gate.network import Gate, GateNetwork
from crossfade.fusion.matrix import check_scale, fitted, wanted_lists
from crossfade.fusion.static import list_ndcg, tune_static
from crossfade.training.device import one_thread
from crossfade.training.loop import train
from crossfade.types import Arrays, Floats, Ints

REQUESTS_AT_ONCE = 64
"""Requests that are answered together, so that memory stays bounded."""

DEPTH = 10


class MetaFusion(FusionModel[GateConfig]):
    """A gate that weighs the bases anew for every request and candidate; see `GateNetwork`.

    Starts at the static blend of the scores and is trained listwise on lists that the bases
    had not seen; the epoch that is best on validation stays, or the start where none is better.
    """

    name = "meta"
    Config = GateConfig

    _reader: GateReader | None = None
    _network: Gate | None = None

    def _fit(
        self, train_on: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        wanted_lists(train_on, self.name)  # raises where nothing can be learned
        seed = int(rng.integers(2**31))
        self._reader = reader = GateReader.fit(train_on.signals, self.name, self.config.reading)
        static = tune_static(train_on.signals, train_on.relevant, train_on.n_relevant)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._network = network = self._built(static.weights)
        batch = reader.read_labelled(train_on, self._person(train_on.signals))
        network.expect(_frequency(batch))
        with one_thread():
            train(
                network,
                _Steps(batch, self.config),
                self._loss,
                self.config.train,
                seed=seed,
                purpose=f"train {self.name}",
                validate=_Validation(self._read, validation) if validation.relevant.any() else None,
                keep_start=True,
            )

    def _built(self, start: Floats) -> Gate:
        """A network before training."""
        return GateNetwork(self.config, start, self.columns)

    def _person(self, signals: Signals) -> Ints | None:  # noqa: ARG002
        """Place of each asking user in a table of the model, 0 for strangers; None without one."""
        return None

    def _read(self, signals: Signals) -> GateBatch:
        return fitted(self._reader, self.name).read(signals, self._person(signals))

    def _loss(self, network: Gate, batch: GateBatch) -> torch.Tensor:
        """In full precision on every device, so that a GPU learns what a CPU does.

        Networks of this size gain next to nothing from less, and it moves scores as far as another
        seed does.
        """
        with torch.autocast(batch.score.device.type, enabled=False):
            output = network(batch)
            return gate_loss(output, network.static_weights(batch.there), batch, self.config)

    @property
    def keeps_apart(self) -> bool:
        """Of a `GateNetwork`; others multiply what they know of all requests at once."""
        return isinstance(self._network, GateNetwork)

    def check(self, signals: Signals) -> None:
        """As in every model; scores that were not scaled are refused too.

        Raises:
            ValueError: If the columns are others.
            DataError: If a score is infinite, or far beyond a z score.
        """
        super().check(signals)
        check_scale(signals, self.name)

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch; a candidate that no base can score gets NaN.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the signals lack ranks or context.
        """
        network = fitted(self._network, self.name)
        self.check(signals)
        if not len(signals.mask):
            empty = np.zeros(signals.score.shape, dtype=np.float32)
            return Fused(empty[:, :, 0], empty, empty, residual=empty[:, :, 0], brought=empty)
        with one_thread(), torch.inference_mode():
            parts = [
                answer(network, self._read(piece)) for piece in signals.pieces(REQUESTS_AT_ONCE)
            ]
        if len(parts) == 1:
            return parts[0]
        return Fused(
            score=np.concatenate([part.score for part in parts]),
            weights=np.concatenate([part.weights for part in parts]),
            confidence=np.concatenate([p.confidence for p in parts if p.confidence is not None]),
            residual=np.concatenate([p.residual for p in parts if p.residual is not None]),
            brought=np.concatenate([p.brought for p in parts if p.brought is not None]),
        )

    def modality_weights(self, signals: Signals) -> dict[str, Floats]:
        """Weights with which extractors join the modalities of context; nothing where it is read plainly.

        Returns:
            By side and modality, ``request.session`` ``(B,)`` or ``candidate.social`` ``(B, L)``: what acted,
            0 where it is absent and had no influence. Those of one side sum to 1 where anything is known.
        """
        network, parts = fitted(self._network, self.name), []
        with one_thread(), torch.inference_mode():
            for piece in signals.pieces(REQUESTS_AT_ONCE):
                found = modality_weights(network, self._read(piece))
                parts.append({name: weight.numpy() for name, weight in found.items()})
        names = parts[0] if parts else {}
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _state(self) -> Arrays:
        network, reader = fitted(self._network, self.name), fitted(self._reader, self.name)
        weights = {f"net.{k}": w.numpy() for k, w in network.state_dict().items()}
        return {**weights, **{f"reader.{k}": a for k, a in reader.to_arrays().items()}}

    def _restore(self, state: Arrays) -> None:
        def part(name: str) -> Arrays:
            start = f"{name}."
            return {k.removeprefix(start): a for k, a in state.items() if k.startswith(start)}

        self._reader = GateReader.from_arrays(part("reader"), self.config.reading)
        with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten
            network = self._built(np.zeros(len(self.columns.bases), dtype=np.float32))
        network.load_state_dict({k: torch.from_numpy(np.array(a)) for k, a in part("net").items()})
        self._network = network.eval()


def _frequency(batch: GateBatch) -> float:
    """Share of what bases score that is wanted, away from 0 and 1."""
    wanted = (batch.there & batch.relevant[:, :, None]).sum()
    return float((wanted + 1) / (batch.there.sum() + 2))


class _Steps:
    """Training steps: requests in a new order, each with its wanted candidates and some others."""

    def __init__(self, batch: GateBatch, config: GateConfig) -> None:
        self._batch, self._config = batch, config
        able = batch.relevant.any(dim=1)
        self._able = np.flatnonzero(able.numpy())
        self.n_examples = len(self._able)
        # Unwanted candidates, and the share of them in requests that steps are made of.
        self._n_others = (batch.mask & ~batch.relevant).sum(dim=1)
        self._stepped = self._n_others[able].sum() / self._n_others.sum().clamp(min=1)

    def __len__(self) -> int:
        return math.ceil(self.n_examples / self._config.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[GateBatch]:
        order = rng.permutation(self._able)
        for start in range(0, len(order), self._config.batch_size):
            places = torch.from_numpy(order[start : start + self._config.batch_size])
            batch = self._batch.take(places, self._drawn(places, rng))
            n_others = (batch.mask & ~batch.relevant).sum(dim=1)
            kept = self._stepped * n_others / self._n_others[places].clamp(min=1)
            yield replace(batch, kept=torch.where(kept > 0, kept, 1.0))

    def _drawn(self, places: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Wanted candidates first, then others at random, padding last; ``(n, n_negatives)``."""
        relevant = self._batch.relevant[places].numpy()
        order = rng.random(relevant.shape) + relevant - 2.0 * ~self._batch.mask[places].numpy()
        n = min(self._config.n_negatives, relevant.shape[1])
        return torch.from_numpy(np.argsort(-order, axis=1)[:, :n])


class _Validation:
    """NDCG@10 on lists that training does not see."""

    def __init__(self, read: Callable[[Signals], GateBatch], labelled: LabelledSignals) -> None:
        # A list that holds nothing wanted adds 0 whatever the gate says: it is not asked.
        hopeful = np.flatnonzero((labelled.relevant & labelled.signals.mask).any(axis=1))
        self._read, self._labelled, self._n = read, labelled.take(hopeful), len(labelled)

    def __call__(self, network: Gate) -> float:
        labelled, total = self._labelled, 0.0
        device = next(network.parameters()).device
        for start in range(0, len(labelled), REQUESTS_AT_ONCE):
            piece = labelled.take(np.arange(start, min(start + REQUESTS_AT_ONCE, len(labelled))))
            batch = self._read(piece.signals)
            score = network(_on(batch, device)).score.cpu().numpy()
            score = np.where(piece.signals.scored, score, np.float32(np.nan))
            total += float(list_ndcg(score, piece.relevant, piece.n_relevant, DEPTH).sum())
        return total / self._n


def _on(batch: GateBatch, device: torch.device) -> GateBatch:
    return GateBatch(**{name: tensor.to(device) for name, tensor in vars(batch).items()})
