"""The fusion model `maml`: a meta-learned gate, and what one person's reactions make of it."""

from dataclasses import replace

import numpy as np
import torch

from crossfade.context.scaling import ContextScaler
from crossfade.errors import DataError
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.maml.adapting import Adapted, adapt_people, fused
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import Weights
from crossfade.fusion.maml.network import MamlGate
from crossfade.fusion.maml.sampling import Sampler, difficulty, kinds_of
from crossfade.fusion.maml.tasks import Episodes, episodes_of
from crossfade.fusion.maml.training import (
    ContextReader,
    EpisodeSteps,
    Validation,
    first_sharpness,
    outer_loss,
)
from crossfade.fusion.matrix import check_scale, fitted, wanted_lists
from crossfade.fusion.static import tune_static
from crossfade.training.loop import train as train_network
from crossfade.types import Arrays, Bools, Doubles, Ints


class Maml(FusionModel[MamlConfig]):
    """A gate on the request whose start is learned so that few reactions of one person move it well.

    Weights are ``softmax(log static weights + network(context))`` over the bases that can score
    the candidate, and the score is their weighted mean of the z scores. The network is zero at
    first, so learning starts at the static blend; the epoch that is best on validation stays, or
    the start where none is better.

    `forward` serves everybody with the start. `adapt` gives weights of single people, which live
    outside the model, and `forward_adapted` serves with them.

    Source:
        Finn, Abbeel and Levine (2017), "Model-Agnostic Meta-Learning" (``maml``, ``fomaml``);
        Raghu et al. (2020), "Rapid Learning or Feature Reuse?" (``anil``); Li et al. (2017),
        "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning" (``meta_sgd``).
    """

    name = "maml"
    Config = MamlConfig

    _gate: MamlGate | None = None
    _reader: ContextReader | None = None

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch without adaptation; a candidate that no base can score gets NaN.

        Raises:
            NotFittedError: Before `fit`.
        """
        gate, reader = self._parts()
        self.check(signals)
        return fused(gate, gate.start(), signals, reader.read(signals))

    def adapt(self, signals: Signals, relevant: Bools, n_steps: int | None = None) -> Adapted:
        """Weights of the person behind each list, from what they reacted to.

        Steps go downhill on the listwise loss of the wanted candidates against the others, held
        back by clipping, by a pull to the start, and by the number of steps. Weights are kept only
        where adapting also lowered the loss of the person's own held-back reactions and did not
        push them out of the first places, which takes two reactions; with fewer than
        ``config.min_reactions`` they never are.

        Args:
            signals: One list per person, with the candidates they saw.
            relevant: What they wanted, ``(B, L)``. A person with no wanted candidate that some
                base can score stays at the start.
            n_steps: Steps, at most ``config.max_steps``; None takes those of learning.

        Returns:
            Weights outside the model, which does not change.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If shapes do not fit, a person is named twice or there are too many steps.
        """
        gate, reader = self._parts()
        self.check(signals)
        if relevant.shape != signals.mask.shape:
            raise ValueError(f"relevant is {relevant.shape}, these lists are {signals.mask.shape}")
        if n_steps is not None and not 0 <= n_steps <= self.config.max_steps:
            raise ValueError(f"n_steps must be from 0 to {self.config.max_steps}, got {n_steps}")
        named = signals.user_row[signals.user_row >= 0] if signals.user_row is not None else None
        if named is not None and len(np.unique(named)) < len(named):
            raise ValueError(
                "a person is named in two lists; adapt to the latest or to one list of all"
            )
        labelled = LabelledSignals(
            replace(signals, item=None, reciprocal_rank=None),
            np.zeros(signals.mask.shape, dtype=np.int32),
            relevant,
            relevant.sum(axis=1).astype(np.float64),
        )
        return adapt_people(gate, labelled, reader.read(signals), self.config, n_steps)

    def forward_adapted(self, signals: Signals, adapted: Adapted) -> Fused:
        """Blend a batch, each request with the weights of its person.

        People are found by ``user_row``; strangers and people without weights of their own get
        the start. Where one side names nobody, request i belongs to person i.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If nobody is named and there are not as many people as requests.
        """
        gate, reader = self._parts()
        self.check(signals)
        places = _places(signals, adapted)
        if not len(adapted):
            return self.forward(signals)
        weights: Weights = {}
        for name, start in gate.start().items():
            own = torch.from_numpy(adapted.weights[name][np.maximum(places, 0)])
            there = torch.from_numpy(places >= 0).reshape(-1, *[1] * start.ndim)
            weights[name] = torch.where(there, own, start.detach())
        return fused(gate, weights, signals, reader.read(signals))

    @property
    def knows_people(self) -> bool:
        """What `forward_adapted` says may; `forward` knows of nobody."""
        return True

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        return acted(fused.weights[0], signals.score[0], signals.available[0])

    def check(self, signals: Signals) -> None:
        """As in every model; scores that were not scaled are refused too.

        Raises:
            ValueError: If the columns are others.
            DataError: If a score is infinite, or far beyond a z score.
        """
        super().check(signals)
        check_scale(signals, self.name)

    def _parts(self) -> tuple[MamlGate, ContextReader]:
        return fitted(self._gate, self.name), fitted(self._reader, self.name)

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        config = self.config
        train = wanted_lists(train, self.name)
        reader = ContextReader.fit(train.signals)
        static = tune_static(train.signals, train.relevant, train.n_relevant)
        sharpness = first_sharpness(static, train)
        gate = MamlGate(config, static.weights, reader.width, sharpness, rng)
        episodes = self._episodes(train, rng)
        sampler = Sampler(kinds_of(episodes), difficulty(episodes, static), config.sampling)
        steps = EpisodeSteps(_slim(episodes), reader, sampler, config)
        judge = Validation(validation, reader, config, rng) if validation.relevant.any() else None
        train_network(
            gate,
            steps,
            lambda network, batch: outer_loss(network, batch, config),
            config.train,
            seed=int(rng.integers(2**31)),
            purpose=f"train {self.name}",
            validate=judge,
            begin_epoch=steps.begin_epoch,
            keep_start=True,
        )
        self._gate, self._reader = gate, reader

    def _episodes(self, train: LabelledSignals, rng: np.random.Generator) -> Episodes:
        signals = replace(train.signals, reciprocal_rank=None)
        episodes = episodes_of(replace(train, signals=signals), rng)
        if not len(episodes):
            raise DataError(
                f"{self.name}: nobody among {len(train):,} requests has two wanted candidates or two lists, so "
                "there is nothing to adapt to; take more candidates, a longer block, or a fusion such as static"
            )
        return episodes

    def _state(self) -> Arrays:
        gate, reader = self._parts()
        arrays: Arrays = {f"gate.{k}": v.numpy() for k, v in gate.state_dict().items()}
        if reader.scaler is not None:
            arrays |= {f"context.{k}": v for k, v in reader.scaler.to_arrays().items()}
        return arrays

    def _restore(self, state: Arrays) -> None:
        def part(name: str) -> Arrays:
            return {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}

        context = part("context.")
        self._reader = ContextReader(ContextScaler.from_arrays(context) if context else None)
        start = np.zeros(len(state["gate.origin"]), dtype=np.float32)
        nothing = np.random.default_rng(0)  # every weight is replaced
        self._gate = MamlGate(self.config, start, self._reader.width, 1.0, nothing)
        self._gate.load_state_dict(
            {k: torch.from_numpy(np.array(v)) for k, v in part("gate.").items()}
        )
        self._gate.eval()


def _slim(episodes: Episodes) -> Episodes:
    """Without the context of candidates, which only the sampler looks at."""
    return Episodes(
        *(
            replace(side, signals=replace(side.signals, item=None))
            for side in (episodes.support, episodes.query)
        )
    )


def _places(signals: Signals, adapted: Adapted) -> Ints:
    """Place of each request's person among those with weights, ``(B,)``; -1 for the others."""
    if signals.user_row is None or adapted.user_row is None:
        if len(signals.mask) != len(adapted):
            raise ValueError(
                f"{len(signals.mask)} requests cannot be matched with {len(adapted)} people nobody names"
            )
        return np.arange(len(adapted))
    order = np.argsort(adapted.user_row, kind="stable")
    people = adapted.user_row[order]
    if not len(people):
        return np.full(len(signals.mask), -1)
    at = np.minimum(np.searchsorted(people, signals.user_row), len(people) - 1)
    found = (people[at] == signals.user_row) & (signals.user_row >= 0)
    return np.where(found, order[at], -1)
