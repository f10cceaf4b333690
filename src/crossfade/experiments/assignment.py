"""Who is in which arm: a function of two names, so that nothing has to be remembered."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

BUCKETS = 10_000


def place(experiment: str, unit_id: str, traffic: float, weights: Sequence[float]) -> int | None:
    """The arm of a unit.

    Whether a unit takes part and where are two independent draws: more traffic brings more units
    and moves none. The name of the experiment salts both, so experiments are independent of one another.

    Args:
        experiment: Its name.
        unit_id: A user or a session.
        traffic: Share of units that take part, in [0, 1], in steps of 1 / `BUCKETS`.
        weights: Of the arms, above 0.

    Returns:
        Position of the arm; None where the unit takes no part.
    """
    # Lengths first: no two pairs of names make the same text.
    text = f"{len(experiment)} {experiment} {unit_id}".encode()
    digest = hashlib.sha256(text).digest()
    if _bucket(digest[:8]) >= round(traffic * BUCKETS):
        return None
    return bisect_right(_ends(weights), _bucket(digest[8:16]))


def shares(weights: Sequence[float]) -> list[float]:
    """What part of those who take part each arm gets, in whole buckets; they sum to 1."""
    ends = [0, *_ends(weights)]
    return [(end - begin) / BUCKETS for begin, end in pairwise(ends)]


def _bucket(part: bytes) -> int:
    return int.from_bytes(part, "big") % BUCKETS


def _ends(weights: Sequence[float]) -> list[int]:
    """The bucket after the last one of each arm."""
    total = sum(weights)
    return [round(BUCKETS * sum_ / total) for sum_ in accumulate(weights)]
