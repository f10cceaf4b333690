"""How one list differs from the one before it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moves:
    """What became of the items of two lists.

    Attributes:
        by: Places each item of the new list rose, less than 0 where it fell; None where it is new.
        gone: Items of the old list that are not in the new one, in its order.
    """

    by: dict[str, int | None]
    gone: tuple[str, ...]

    @property
    def n_new(self) -> int:
        """Items that were not there."""
        return sum(move is None for move in self.by.values())

    @property
    def n_moved(self) -> int:
        """Items that stand elsewhere."""
        return sum(bool(move) for move in self.by.values())

    def __str__(self) -> str:
        if not (self.n_new or self.n_moved or self.gone):
            return "nothing moved."
        told = ((self.n_new, "new"), (self.n_moved, "elsewhere"), (len(self.gone), "gone"))
        return ", ".join(f"{n} {what}" for n, what in told if n) + "."


def moves(now: Sequence[str], before: Sequence[str]) -> Moves:
    """How a list differs from the one before it; both hold each item once."""
    place = {item: at for at, item in enumerate(before)}
    by = {item: place[item] - at if item in place else None for at, item in enumerate(now)}
    return Moves(by, tuple(item for item in before if item not in by))
