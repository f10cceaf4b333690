"""A small memory of old requests, so that learning from new ones does not forget them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from crossfade.errors import ConfigError
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.meta.signals import stacked
from crossfade.rng import generator
from crossfade.types import Doubles

TINY = 10
"""Places per kind below which a memory is written in equal parts instead of at random."""


class ReplayMemory:
    """Some of all requests ever seen, chosen by reservoir sampling.

    Without quotas, every request seen so far is kept with the same chance, whatever its kind.
    With quotas, each kind has its part of the places; a kind that does not fill it lends the rest,
    and gets it back when it comes; within a kind, every request is kept with the same chance.
    A memory with fewer than `TINY` places per kind is given equal quotas, as a random one could
    lose whole kinds.

    Requests are stored as copies of their signals, as the features were when they were seen.

    Args:
        capacity: Most requests held.
        kinds: Names of all kinds there may be.
        quotas: Part of the places for each kind, summing to 1; None as told above.
        seed: The run's one seed; with the requests seen before, it decides what is kept.

    Raises:
        ConfigError: If there are fewer places than kinds, or the quotas are no parts of 1.

    Source:
        Chaudhry et al. (2019), "On Tiny Episodic Memories in Continual Learning": reservoir
        sampling, and balanced writing where memory is tiny. Vitter (1985), "Random Sampling with
        a Reservoir". Lending as in Chrysakis and Moens (2020), "Online Continual Learning from
        Imbalanced Data".
    """

    def __init__(
        self,
        capacity: int,
        kinds: Sequence[str],
        quotas: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        names = tuple(dict.fromkeys(kinds))
        if not names or capacity < len(names):
            raise ConfigError(
                f"replay: {capacity} places cannot hold {len(names)} kinds; give one place per kind or more"
            )
        if quotas is not None:
            _check(quotas, names)
        elif capacity < TINY * len(names):
            quotas = dict.fromkeys(names, 1 / len(names))
        self.capacity, self.kinds, self._seed = capacity, names, seed
        self.places = None if quotas is None else _shared_out(capacity, quotas)
        """Places of each kind; None where the memory is not cut by kind."""
        self.seen = dict.fromkeys(names, 0)
        """Requests of each kind that came by."""
        self._kept: list[LabelledSignals] = []
        self._kind: list[str] = []

    def __len__(self) -> int:
        return len(self._kept)

    def held(self) -> dict[str, int]:
        """Requests of each kind in memory."""
        return {kind: self._kind.count(kind) for kind in self.kinds}

    def add(self, labelled: LabelledSignals, kinds: Sequence[str]) -> None:
        """Show some requests to the memory, in the order they came.

        Args:
            labelled: Requests; copied, so they may change afterwards.
            kinds: Of each.

        Raises:
            ValueError: If there are not as many kinds as requests, a kind is unknown, or the
                columns are not those of what is held. Then nothing is added.
        """
        if len(kinds) != len(labelled):
            raise ValueError(f"{len(kinds)} kinds for {len(labelled)} requests")
        unknown = sorted(set(kinds) - set(self.kinds))
        if unknown:
            raise ValueError(
                f'unknown kind "{unknown[0]}"; this memory has {", ".join(self.kinds)}'
            )
        if self._kept and labelled.signals.columns != self._kept[0].signals.columns:
            raise ValueError(
                "these requests have other columns than those in memory; begin a new one"
            )
        for place, kind in enumerate(kinds):
            rng = generator(self._seed, f"replay.{sum(self.seen.values())}")
            self.seen[kind] += 1
            at = self._place_for(kind, rng)
            if at is not None:
                self._write(at, _snapshot(labelled, place), kind)

    def everything(self) -> LabelledSignals:
        """All that is held, with lists as wide as the widest.

        Raises:
            ValueError: If the memory is empty.
        """
        return self._some(range(len(self)))

    def draw(self, n: int, rng: np.random.Generator) -> LabelledSignals:
        """Different requests at random, n or as many as there are.

        Raises:
            ValueError: If the memory is empty.
        """
        places = rng.choice(len(self), size=min(n, len(self)), replace=False)
        return self._some(places.tolist())

    def forget(self, user_row: int) -> int:
        """Delete everything of one person; returns how many requests that were.

        What comes next fills the freed places, so it is kept a little more often than its turn.
        """
        kept = [not _is_of(one, user_row) for one in self._kept]
        n = kept.count(False)
        self._kept = [one for one, stays in zip(self._kept, kept, strict=True) if stays]
        self._kind = [kind for kind, stays in zip(self._kind, kept, strict=True) if stays]
        return n

    def _place_for(self, kind: str, rng: np.random.Generator) -> int | None:
        """Where a new request goes: a free place, one of another request, or None: nowhere."""
        if len(self) < self.capacity:
            return len(self)
        if self.places is None:
            at = int(rng.integers(sum(self.seen.values())))
            return at if at < self.capacity else None
        held = self.held()
        if held[kind] < self.places[kind]:
            # Memory is full, so another kind has more than its places.
            giver = max(self.kinds, key=lambda name: held[name] - self.places[name])  # type: ignore[index]
            return int(rng.choice([i for i, name in enumerate(self._kind) if name == giver]))
        own = [i for i, name in enumerate(self._kind) if name == kind]
        at = int(rng.integers(self.seen[kind]))
        return own[at] if at < len(own) else None

    def _write(self, at: int, request: LabelledSignals, kind: str) -> None:
        if at == len(self):
            self._kept.append(request)
            self._kind.append(kind)
        else:
            self._kept[at], self._kind[at] = request, kind

    def _some(self, places: Sequence[int]) -> LabelledSignals:
        if not len(self):
            raise ValueError("the memory is empty; add requests first")
        return stacked([self._kept[place] for place in places])


def with_replay(
    new: LabelledSignals, memory: ReplayMemory, share: float, rng: np.random.Generator
) -> LabelledSignals:
    """New requests and, below them, old ones: ``share`` of the number of new ones, rounded up.

    Rounded up, so that even a single new request is learned beside an old one.

    Args:
        new: Not yet shown to the memory.
        memory: An empty one adds nothing.
        share: 0 or more.
        rng: Draws the old ones.
    """
    # Rounding first: 0.3 times 10 is a little more than 3.
    n = math.ceil(round(share * len(new), 9))
    return stacked([new, memory.draw(n, rng)]) if n and len(memory) else new


def backward_transfer(before: Doubles, after: Doubles) -> float:
    """Mean change of a metric on old requests through an update; below 0 is forgetting.

    Args:
        before: The metric of each old request before the update, higher is better.
        after: Of the same requests after it.

    Returns:
        The mean of after − before; NaN where there is no old request.

    Raises:
        ValueError: If they are not equally many.

    Source:
        Lopez-Paz and Ranzato (2017), "Gradient Episodic Memory for Continual Learning", §2.
    """
    if before.shape != after.shape:
        raise ValueError(f"{before.shape} values before the update and {after.shape} after it")
    return float((after - before).mean()) if before.size else float("nan")


def accepted(before: Doubles, after: Doubles, tolerance: float) -> bool:
    """Whether an update forgets no more than ``tolerance`` of the mean metric on old requests.

    Where there is no old request there is nothing to forget. A metric that is no longer a number
    is not accepted.

    Raises:
        ValueError: If the tolerance is below 0 or the requests are not equally many.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, got {tolerance}")
    change = backward_transfer(before, after)
    return not before.size or change >= -tolerance


def _check(quotas: Mapping[str, float], names: tuple[str, ...]) -> None:
    if set(quotas) != set(names):
        raise ConfigError(
            f"replay: quotas are for {', '.join(sorted(quotas))}, kinds are {', '.join(sorted(names))}; "
            "name each kind once"
        )
    parts = list(quotas.values())
    # Asked this way round, NaN fails too.
    if not (all(part >= 0 for part in parts) and abs(sum(parts) - 1) <= 1e-6):
        raise ConfigError(f"replay: quotas must be 0 or more and sum to 1, got {dict(quotas)}")


def _shared_out(capacity: int, quotas: Mapping[str, float]) -> dict[str, int]:
    """Whole places in the parts of the quotas, by largest remainder; they sum to the capacity."""
    exact = {kind: capacity * part for kind, part in quotas.items()}
    places = {kind: math.floor(value + 1e-9) for kind, value in exact.items()}
    by_rest = sorted(exact, key=lambda kind: places[kind] - exact[kind])
    for kind in by_rest[: capacity - sum(places.values())]:
        places[kind] += 1
    return places


def _snapshot(labelled: LabelledSignals, place: int) -> LabelledSignals:
    """A copy of one request, without padding."""
    one = labelled.take(np.array([place]))
    width = int(np.flatnonzero(one.signals.mask[0]).max(initial=-1)) + 1
    signals = one.signals

    def cut(array: object) -> object:
        return None if array is None else np.array(array)[:, :width].copy()

    return LabelledSignals(
        Signals(
            score=signals.score[:, :width].copy(),
            mask=signals.mask[:, :width].copy(),
            reciprocal_rank=cut(signals.reciprocal_rank),  # type: ignore[arg-type]
            user=signals.user,
            item=cut(signals.item),  # type: ignore[arg-type]
            user_row=signals.user_row,
            columns=signals.columns,
        ),
        one.item_row[:, :width].copy(),
        one.relevant[:, :width].copy(),
        one.n_relevant,
    )


def _is_of(request: LabelledSignals, user_row: int) -> bool:
    row = request.signals.user_row
    return row is not None and int(row[0]) == user_row
