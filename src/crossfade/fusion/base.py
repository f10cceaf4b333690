"""What fusion sees and gives: `Signals`, `LabelledSignals`, `Fused`, `Fusion`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Settings, validate
from crossfade.errors import DataError
from crossfade.fusion.contributions import ByBase, Contributions, account, over_list
from crossfade.rng import generator
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints, Rows


@dataclass(frozen=True)
class Columns:
    """Names of what `Signals` hold, in order.

    Attributes:
        bases: Of the last axis of ``score``.
        user: Of ``user``.
        item: Of ``item``.
    """

    bases: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Signals:
    """Base scores of a batch of requests, each with a candidate list, and their context.

    B requests, L candidates, S base recommenders; S is never fixed.

    Attributes:
        score: Shape ``(B, L, S)``; NaN where a base cannot score.
        mask: Shape ``(B, L)``; False marks padding of shorter lists.
        reciprocal_rank: The same scores by their place in each base's own list, 1 for the best,
            shape ``(B, L, S)``; see `scaling.reciprocal_rank`. None where only scores are known.
        user: What is known of each request, ``(B, Cu)``; NaN where missing. None without context.
        item: What is known of each candidate for its request, ``(B, L, Ci)``; likewise.
        user_row: Who asks, ``(B,)``, -1 for strangers; None where nobody is named.
        columns: Names of all of these.
    """

    score: Floats
    mask: Bools
    reciprocal_rank: Floats | None = None
    user: Floats | None = None
    item: Floats | None = None
    user_row: Rows | None = None
    columns: Columns = Columns()

    def __post_init__(self) -> None:
        shape = self.score.shape
        if self.score.ndim != 3 or self.mask.shape != shape[:2]:
            raise ValueError(
                f"score {shape} and mask {self.mask.shape} must be (B, L, S) and (B, L)"
            )
        names = self.columns
        for what, array, expected in (
            ("reciprocal_rank", self.reciprocal_rank, shape),
            ("user", self.user, (shape[0], len(names.user))),
            ("item", self.item, (*shape[:2], len(names.item))),
            ("user_row", self.user_row, shape[:1]),
        ):
            if array is not None and array.shape != expected:
                raise ValueError(f"{what} has shape {array.shape}, these signals need {expected}")
        if names.bases and len(names.bases) != shape[2]:
            raise ValueError(f"{len(names.bases)} names for {shape[2]} bases")

    # Every member of a blend asks for the next three.
    @cached_property
    def available(self) -> Bools:
        """Where a base gave a score for a real candidate, shape ``(B, L, S)``; not to be changed."""
        return ~np.isnan(self.score) & self.mask[:, :, None]

    @cached_property
    def scored(self) -> Bools:
        """Candidates that some base can score, shape ``(B, L)``; not to be changed."""
        return np.asarray(self.available.any(axis=-1))

    @cached_property
    def largest(self) -> float:
        """Largest distance of a score from 0, padding included; 0 where there is none."""
        return float(np.fmax.reduce(np.abs(self.score), axis=None, initial=0.0))

    def pieces(self, n: int) -> Iterator["Signals"]:
        """The requests in their order, at most ``n`` at once."""
        if len(self.mask) <= n:
            yield self
            return
        for start in range(0, len(self.mask), n):
            yield self.take(np.arange(start, min(start + n, len(self.mask))))

    def take(self, places: Ints) -> "Signals":
        """Some of the requests, in the given order."""

        def part(array: Any) -> Any:
            return None if array is None else array[places]

        return replace(
            self,
            score=self.score[places],
            mask=self.mask[places],
            reciprocal_rank=part(self.reciprocal_rank),
            user=part(self.user),
            item=part(self.item),
            user_row=part(self.user_row),
        )

    def lists(self, places: Ints) -> "Signals":
        """Lists of some candidates of the only request, by their places ``(n, L)``."""

        def picked(array: Any) -> Any:
            return None if array is None else array[0][places]

        def repeated(array: Any) -> Any:
            return None if array is None else np.repeat(array, len(places), axis=0)

        return replace(
            self,
            score=picked(self.score),
            mask=picked(self.mask),
            reciprocal_rank=picked(self.reciprocal_rank),
            item=picked(self.item),
            user=repeated(self.user),
            user_row=repeated(self.user_row),
        )


@dataclass(frozen=True, eq=False)
class LabelledSignals:
    """Signals of some requests, and which candidates were wanted.

    Attributes:
        signals: Scores and context.
        item_row: Candidates, shape ``(B, L)``; -1 pads shorter lists.
        relevant: Shape ``(B, L)``.
        n_relevant: Wanted items per request, among the candidates or not, shape ``(B,)``.
    """

    signals: Signals
    item_row: Rows
    relevant: Bools
    n_relevant: Doubles

    def __len__(self) -> int:
        return len(self.n_relevant)

    def take(self, places: Ints) -> "LabelledSignals":
        """Some of the requests, in the given order."""
        return LabelledSignals(
            self.signals.take(places),
            self.item_row[places],
            self.relevant[places],
            self.n_relevant[places],
        )


@dataclass(frozen=True, eq=False)
class Fused:
    """Blended scores.

    Attributes:
        score: Shape ``(B, L)``; NaN where no base could score.
        weights: Shape ``(B, L, S)``; in [0, 1], summing to 1 over the available bases,
            all NaN where there is none. What acted, not what was intended; so NaN throughout for
            models whose score is no weighted mean of bases, such as trees and regressions.
        confidence: Probability that each base is right about the named event, ``(B, L, S)``;
            None for models that state none.
        uncertainty: How unsure the score is, ``(B, L)``, larger is less sure; None likewise.
        residual: Part of the score that no base accounts for, ``(B, L)``; None likewise.
        brought: What each base brought to the score, ``(B, L, S)``; None for models that can tell
            it from signals and weights. Ask `FusionModel.contributions`, which all have.
        members: Of a combination that serves every request of the batch: what each member said
            of it, by name; None otherwise.
    """

    score: Floats
    weights: Floats
    confidence: Floats | None = None
    uncertainty: Floats | None = None
    residual: Floats | None = None
    brought: Floats | None = None
    members: Mapping[str, "Fused"] | None = None


class Fusion(ABC):
    """Every fusion model takes `Signals` and gives `Fused`."""

    name: ClassVar[str]

    @abstractmethod
    def forward(self, signals: Signals) -> Fused:
        """Blend a batch; what is said of one request does not depend on the others."""

    @abstractmethod
    def state(self) -> Arrays:
        """The fitted arrays."""


def refuse(wrong: Bools, signals: Signals, name: str, what: str) -> None:
    """Raise where a base gives scores that a model cannot use.

    Args:
        wrong: Where, ``(B, L, S)``; nothing happens without any.
        signals: They name the base.
        name: Of the model.
        what: Is wrong with them.

    Raises:
        DataError: For the first such base.
    """
    bases = np.flatnonzero(wrong.any(axis=(0, 1)))
    if len(bases):
        base = int(bases[0])
        label = signals.columns.bases[base] if signals.columns.bases else str(base)
        raise DataError(f'{name}: base "{label}" gives {what}; mask them as NaN')


C = TypeVar("C", bound=Settings)


class FusionModel(Fusion, Generic[C]):
    """A blend that is fitted on labelled signals; one file each.

    Args:
        config: Its settings; the defaults if None.
    """

    Config: ClassVar[type[Settings]]

    def __init__(self, config: C | None = None) -> None:
        self.config: C = config if config is not None else self.Config()  # type: ignore[assignment]
        self.columns = Columns()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    def fit(self, train: LabelledSignals, validation: LabelledSignals, seed: int = 0) -> Self:
        """Learn from lists whose bases had not seen what was wanted; a second fit forgets the first.

        Args:
            train: To learn from. Requests without a wanted candidate teach nothing.
            validation: To stop early or choose by, never to learn from.
            seed: The run's one seed; equal seeds give equal models.

        Raises:
            DataError: If no request of ``train`` has a wanted candidate, or a score is infinite.
            ValueError: If ``validation`` has other columns than ``train``.
        """
        if not train.relevant.any():
            raise DataError(
                f"{self.name}: none of {len(train):,} requests has a wanted item among its candidates, so there "
                "is nothing to learn from; take more candidates or a longer fuse block"
            )
        self.columns = train.signals.columns
        for part in (train, validation):
            self.check(part.signals)
        self._fit(train, validation, generator(seed, f"{self.name}.fit"))
        return self

    def check(self, signals: Signals) -> None:
        """Raise unless the model can read the signals.

        Raises:
            ValueError: If they have other columns than it was fitted on.
            DataError: If a score is infinite.
        """
        if signals.columns != self.columns:
            raise ValueError(
                f"{self.name} was fitted on {self.columns}, these signals have {signals.columns}; fit again"
            )
        if np.isinf(signals.largest):  # what stands in the padding is nobody's score
            infinite = np.isinf(signals.score) & signals.mask[:, :, None]
            refuse(infinite, signals, self.name, "infinite scores")

    def contributions(
        self, signals: Signals, places: Ints, fused: Fused | None = None
    ) -> Contributions:
        """What each base brought to the scores of some candidates of one request.

        Args:
            signals: One request.
            places: Of the candidates in its list, from 0, ``(n,)``.
            fused: What `forward`, or a method like it, said of these signals: it is what gets
                explained. None asks `forward` once more.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If there is not exactly one request, ``fused`` is not of it, or a place lies
                outside the list.
        """
        said = self.forward(signals) if fused is None else fused
        n_requests, n_candidates = signals.mask.shape
        if n_requests != 1 or said.weights.shape != signals.score.shape:
            raise ValueError(
                f"contributions are of one request and what was said of it, got signals "
                f"{signals.score.shape} and weights {said.weights.shape}"
            )
        if ((places < 0) | (places >= n_candidates)).any():
            raise ValueError(f"places must be from 0 to {n_candidates - 1}, got {places.tolist()}")
        parts = self._by_base(signals, said, places)
        return account(said.score[0, places], signals.available[0, places], parts)

    def _by_base(self, signals: Signals, fused: Fused, places: Ints) -> ByBase:
        """Contributions to some candidates of the only request; see `Contributions`."""
        brought = self._brought(signals, fused)
        return over_list(brought, signals.available[0], fused.score[0], places)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:  # noqa: ARG002
        """What each base brought to every candidate of the only request, ``(L, S)``.

        What stands where a base cannot score is not read. Models whose forward pass does not say
        it in `Fused.brought` say it here.
        """
        if fused.brought is None:
            raise ValueError(
                f"{self.name}: this Fused does not say what bases brought; pass on what forward gave"
            )
        return np.asarray(fused.brought[0], dtype=np.float64)

    @property
    def keeps_apart(self) -> bool:
        """Whether what is said of a request is the same to the last bit whoever else is in the batch."""
        return False  # products of matrices add up in another order for another number of rows

    @property
    def knows_people(self) -> bool:
        """Whether weights may rest on what was learned of one person alone."""
        return False

    def adaptation(self, signals: Signals, fused: Fused) -> Floats:
        """How far what was learned of a person alone moved the weights of a candidate, ``(B, L)``.

        Context is no adaptation: a gate that reads how somebody listens treats all who listen so alike.

        Args:
            signals: B requests.
            fused: What `forward`, or a method like it, said of them.

        Returns:
            Largest change of a weight against those of a stranger in the same context, in [0, 1];
            0 where weights are not known.
        """
        if not self.knows_people:
            return np.zeros(signals.mask.shape, dtype=np.float32)
        stranger = self.forward(replace(signals, user_row=None))
        moved = np.nan_to_num(np.abs(fused.weights - stranger.weights))
        return np.asarray(moved.max(axis=-1, initial=0))

    def moved(self, user_rows: Rows) -> Self:  # noqa: ARG002
        """The same model for a log that went on.

        Args:
            user_rows: Old rows of today's users, ascending but for the -1 of new people.
        """
        return self

    @abstractmethod
    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        """Learn."""

    @abstractmethod
    def _state(self) -> Arrays:
        """The fitted arrays, enough for `_restore`."""

    @abstractmethod
    def _restore(self, state: Arrays) -> None:
        """Take over arrays made by `_state`."""

    def state(self) -> Arrays:
        """Everything `restore` needs, as named arrays."""
        names = vars(self.columns)
        packed = [pack_strings(f"columns.{key}", list(value)) for key, value in names.items()]
        return {**self._state(), **{k: v for part in packed for k, v in part.items()}}

    @classmethod
    def restore(cls, config: dict[str, Any], state: Arrays) -> Self:
        """A fitted model from its settings and arrays.

        Raises:
            ConfigError: If the settings do not fit this model.
            KeyError: If an array is missing.
        """
        model = cls(validate(cls.Config, config, cls.name))  # type: ignore[arg-type]
        names = {key: tuple(unpack_strings(f"columns.{key}", state)) for key in vars(Columns())}
        model.columns = Columns(**names)
        model._restore({k: v for k, v in state.items() if not k.startswith("columns.")})
        return model
