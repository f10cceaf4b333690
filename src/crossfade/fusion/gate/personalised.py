"""The fusion model `personalised`: the meta gate, and a row of its own for everybody it met.

Shapes: B requests, L candidates, S bases, P people.
"""

from copy import deepcopy
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from crossfade.config import Field
from crossfade.errors import DataError
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.gate.network import Gate, GateNetwork
from crossfade.fusion.matrix import fitted
from crossfade.types import Arrays, Floats, Ints, Rows


class PersonalisedConfig(GateConfig):
    """A gate with a part per person."""

    shrinkage: float = Field(
        1.0,
        ge=0,
        description="Pull of a person's row to 0, which is the gate of strangers, against the losses of "
        "the person's lists; the fewer lists, the stronger it is beside them.",
    )


class PersonalNetwork(GateNetwork):
    """`GateNetwork` whose gate logits get a row added that belongs to the asking user.

    Row 0 is that of strangers and stays 0; all others start there.

    Args:
        config: Widths.
        start: Weights of the static blend, ``(S,)``.
        columns: Names of what the signals hold.
        n_lists: How many lists each person's row learns from, ``(P,)``.
    """

    n_lists: Tensor

    def __init__(
        self, config: PersonalisedConfig, start: Floats, columns: Columns, n_lists: Ints
    ) -> None:
        super().__init__(config, start, columns)
        self.person = nn.Embedding(1 + len(n_lists), len(start), padding_idx=0)
        nn.init.zeros_(self.person.weight)
        lists = torch.from_numpy(n_lists).float()
        self.register_buffer("n_lists", torch.cat([torch.ones(1), lists]))

    def own(self, batch: GateBatch) -> Tensor:
        """The row of each asking user."""
        own: Tensor = self.person(batch.person)
        return own

    def penalty(self, batch: GateBatch) -> Tensor:
        """Mean over the requests of ``|row|² / n``, n being the lists of the request's person.

        Over an epoch a person's row is penalised once, whatever n, while its losses count n
        times. That is the most probable row under a normal prior around the shared gate: for
        losses of curvature h it is ``n h / (n h + 2 shrinkage)`` of the way from the shared gate
        to the person's own best, so near 0 for few lists and near 1 for many.
        """
        square = self.person(batch.person).square().sum(dim=-1)
        mean: Tensor = (square / self.n_lists[batch.person]).mean()
        return mean

    def without(self, places: Ints) -> None:
        """Drop rows of people; later ones move up.

        Args:
            places: Rows, from 1.
        """
        kept = torch.ones(len(self.n_lists), dtype=torch.bool)
        kept[torch.from_numpy(places)] = False
        rows = self.person.weight.detach()[kept].clone()
        self.person = nn.Embedding(len(rows), rows.shape[1], padding_idx=0, _weight=rows)
        self.n_lists = self.n_lists[kept].clone()


class PersonalisedFusion(MetaFusion):
    """The `meta` gate with a row per person; strangers share the gate of everybody.

    People are known by ``user_row``, those whose training lists hold something wanted. See
    `PersonalNetwork.penalty` for how far a row may leave 0.
    """

    name = "personalised"
    Config = PersonalisedConfig

    config: PersonalisedConfig
    _people: Ints | None = None
    """User rows of the people with a row, ascending."""
    _n_lists: Ints
    """How many lists each row learns from; what the network is built with."""

    def _fit(
        self, train_on: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        asked = train_on.signals.user_row
        if asked is None or not (asked >= 0).any():
            raise DataError(
                f"{self.name} keeps a row per person, and these signals name nobody; use meta, or give user_row"
            )
        wanted = train_on.relevant & train_on.signals.scored
        taught = asked[wanted.any(axis=1) & (asked >= 0)].astype(np.int64)
        self._people, self._n_lists = np.unique(taught, return_counts=True)
        super()._fit(train_on, validation, rng)

    @property
    def people(self) -> Ints:
        """User rows of everybody with a row, ascending.

        Raises:
            NotFittedError: Before `fit`.
        """
        return fitted(self._people, self.name).copy()

    @property
    def knows_people(self) -> bool:
        """Always: each person has a row."""
        return True

    def moved(self, user_rows: Rows) -> Self:
        """With people under their rows of today; those who left the log are forgotten."""
        found = deepcopy(self)
        found.forget(np.setdiff1d(found.people, user_rows))
        found._people = np.flatnonzero(np.isin(user_rows, found.people))
        return found

    def forget(self, user_rows: Ints) -> None:
        """Delete people: their rows, their numbers of lists and their names.

        They are strangers from now on, and nothing in the state is theirs alone. The shared
        gate keeps what it learned from everybody's lists; only a new fit without them changes
        that.

        Args:
            user_rows: Whom; those without a row are passed over.

        Raises:
            NotFittedError: Before `fit`.
        """
        people, network = fitted(self._people, self.name), fitted(self._network, self.name)
        assert isinstance(network, PersonalNetwork)
        gone = np.flatnonzero(np.isin(people, user_rows))
        network.without(gone + 1)
        self._people, self._n_lists = np.delete(people, gone), np.delete(self._n_lists, gone)

    def _built(self, start: Floats) -> Gate:
        return PersonalNetwork(self.config, start, self.columns, self._n_lists)

    def _person(self, signals: Signals) -> Ints:
        people = fitted(self._people, self.name)
        if signals.user_row is None or not len(people):
            return np.zeros(len(signals.mask), dtype=np.int64)
        at = np.minimum(np.searchsorted(people, signals.user_row), len(people) - 1)
        return np.where(people[at] == signals.user_row, at + 1, 0).astype(np.int64)

    def _loss(self, network: Gate, batch: GateBatch) -> Tensor:
        assert isinstance(network, PersonalNetwork)
        return super()._loss(network, batch) + self.config.shrinkage * network.penalty(batch)

    def _state(self) -> Arrays:
        return {**super()._state(), "people": self.people}

    def _restore(self, state: Arrays) -> None:
        self._people = state["people"].astype(np.int64)
        # The first is that of strangers.
        self._n_lists = state["net.n_lists"][1:].astype(np.int64)
        super()._restore(state)
