"""The nouns of a protocol: its settings, one trial, the whole plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.data.dataset import Dataset
from crossfade.data.query import Queries
from crossfade.errors import DataError
from crossfade.types import Bools, Csr

BLOCKS = ("base", "fuse", "calibrate", "test")
BASE, FUSE, CALIBRATE, TEST = range(4)

ProtocolName = Literal["time", "user", "leave-last", "repeat", "cold-users", "cold-items"]


class ProtocolConfig(Settings):
    """How a log becomes questions."""

    name: ProtocolName = Field(
        "time",
        description="time: global cuts, new items only; user: each user's own order cut; leave-last: each user's "
        "last positive; repeat: global cuts, rest of each session, known items allowed; cold-users, cold-items: "
        "some users or items are kept out of training altogether.",
    )
    base: float = Field(0.6, gt=0, lt=1, description="Share of events in the base block.")
    fuse: float = Field(0.1, gt=0, lt=1, description="Share of events in the fuse block.")
    calibrate: float = Field(0.1, gt=0, lt=1, description="Share of events in the calibrate block.")
    test: float = Field(0.2, gt=0, lt=1, description="Share of events in the test block.")
    rolling_cuts: int = Field(
        1,
        ge=1,
        description="Windows the test block is cut into; models are fitted anew before each.",
    )
    candidates: Literal["known", "catalogue"] = Field(
        "known",
        description="Items that may be listed. known: with an event, or a release date, before the cut; "
        "catalogue: all, although a catalogue made from the log tells which items will be played.",
    )
    cold_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of asking users kept out by cold-users, and of wanted items by cold-items with `share`.",
    )
    cold_history: int = Field(
        3, ge=0, description="First events a cold user shows before being asked."
    )
    cold_history_min: int | None = Field(
        None,
        ge=0,
        description="Fewest events a cold user shows; each shows a random number from here to `cold_history`. "
        "Unset: all show `cold_history`.",
    )
    cold_items: Literal["first_seen", "share"] = Field(
        "first_seen",
        description="Which items cold-items asks for. first_seen: those without an event in the base block; share: "
        "a random share of the wanted ones, also where there are no times.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.base + self.fuse + self.calibrate + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"base + fuse + calibrate + test must be 1, got {total:g}")
        if self.fewest_shown > self.cold_history:
            raise ValueError(
                f"cold_history_min must be at most cold_history ({self.cold_history}), got {self.cold_history_min}"
            )
        return self

    @property
    def fewest_shown(self) -> int:
        """Fewest events a cold user shows."""
        return self.cold_history if self.cold_history_min is None else self.cold_history_min

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four shares in block order."""
        return (self.base, self.fuse, self.calibrate, self.test)


@dataclass(frozen=True)
class Trial:
    """Learn from ``train``, answer ``queries``, be judged by ``relevant``.

    Attributes:
        name: Block it stands for.
        train: The only events a model may learn from.
        queries: Requests with their histories; a user may ask more than once.
        relevant: 1 where the item was wanted after the request, shape ``(n, n_items)``.
        exclude_seen: Whether items in the history may not be recommended.
        candidates: Items that may be recommended, shape ``(n_items,)``; None means all.
        hidden: Stored where a request may not be answered with an item although its history
            does not show it, shape ``(n, n_items)``; None means nowhere.
    """

    name: str
    train: Dataset
    queries: Queries
    relevant: Csr
    exclude_seen: bool
    candidates: Bools | None = None
    hidden: Csr | None = None


@dataclass(frozen=True)
class Plan:
    """All trials of one protocol on one data set.

    Attributes:
        protocol: The settings it was made with.
        fuse: For tuning the blend and hyperparameters.
        calibrate: For the do-no-harm test.
        tests: Reported once; one per rolling cut.
        flags: What a reader must know before trusting the numbers.
        cuts: First moment of the fuse, calibrate and test blocks (ISO 8601); empty when
            every user has cuts of their own.
        block_sizes: Events per block.
    """

    protocol: ProtocolConfig
    fuse: Trial
    calibrate: Trial
    tests: tuple[Trial, ...]
    flags: tuple[str, ...]
    cuts: tuple[str, ...]
    block_sizes: dict[str, int]


def new_items_trial(name: str, train: Dataset, queries: Queries, wanted: Csr) -> Trial:
    """Only items the asking user has not met count; whoever has none left is not asked."""
    relevant = Csr((wanted > 0).astype(np.float32))
    relevant = Csr(relevant - relevant.multiply(queries.seen > 0))
    relevant.eliminate_zeros()
    asking = np.flatnonzero(np.diff(relevant.indptr))
    trial = Trial(name, train, queries.take(asking), Csr(relevant[asking]), exclude_seen=True)
    return checked(trial)


def among_known(trial: Trial, protocol: ProtocolConfig, cut_us: int | None) -> Trial:
    """The trial with lists limited to items known before the cut, unless the protocol says otherwise."""
    if protocol.candidates == "catalogue":
        return trial
    return replace(trial, candidates=trial.train.known_items(cut_us))


def unknown_wanted_flag(trials: Sequence[Trial]) -> tuple[str, ...]:
    """What share of the wanted pairs no model may list, as a flag; empty where there is none."""
    n_wanted = sum(trial.relevant.nnz for trial in trials)
    n_out = sum(
        int((~trial.candidates[trial.relevant.indices]).sum())
        for trial in trials
        if trial.candidates is not None
    )
    if not n_out:
        return ()
    return (
        f"{n_out / n_wanted:.1%} of what was wanted are items unknown before the cut; they count as missed "
        "by every model",
    )


def checked(trial: Trial) -> Trial:
    """The trial itself, if it asks anything.

    Raises:
        DataError: If nothing can be learned or nobody asks.
    """
    if len(trial.queries) == 0 or trial.train.n_events == 0:
        raise DataError(
            f"{trial.train.name}: the {trial.name} block asks nothing ({trial.train.n_events:,} training events, "
            f"{len(trial.queries):,} requests); use more data, other shares or another protocol"
        )
    return trial
