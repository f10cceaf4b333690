"""Two lists in one: arms take turns to put their best item, and what becomes of an item is theirs.

Source:
    Radlinski, Kurup and Joachims (2008), "How Does Clickthrough Data Reflect Retrieval Quality?", team draft.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

AND = "+"
"""Between two versions that made one list, in the order of the arms."""


@dataclass(frozen=True)
class Pick:
    """What stands at one place of an interleaved list.

    Attributes:
        team: Position of the arm that put it there, 0 or 1.
        at: Its place in the list of that arm, from 0.
        chance: That this item stands at this place, whoever put it there; over all coins.
    """

    team: int
    at: int
    chance: float


def coins(experiment: str, unit_id: str, request_id: str, n: int) -> list[bool]:
    """Coins of one list: the same whenever they are asked for, and different in each list.

    Args:
        experiment: Its name.
        unit_id: Who is asked for.
        request_id: Of the list.
        n: How many.
    """
    # Lengths first: no two triples of names make the same text.
    text = f"{len(experiment)} {experiment} {len(unit_id)} {unit_id} {request_id}".encode()
    bits = int.from_bytes(hashlib.shake_256(text).digest(n // 8 + 1), "big")
    return [bool(bits >> i & 1) for i in range(n)]


def team_draft(
    lists: tuple[Sequence[str], Sequence[str]], k: int, tossed: Sequence[bool]
) -> list[Pick]:
    """An interleaved list: in each round a coin says who begins, and each arm puts its best item not there yet.

    Where one list ends, the other goes on alone.

    Args:
        lists: Items of both arms, best first, each once.
        k: Places, 0 or more.
        tossed: A coin for each round, ``(k + 1) // 2`` or more; true lets the second arm begin.
    """
    draft = _Draft(lists)
    n = min(k, draft.n_items)
    chances, there = _chances(draft, n), (0, 0)
    picks: list[Pick] = []
    for place in range(n):
        turn = (place + tossed[place // 2]) % 2
        team, at, there = draft.pick(there, turn)
        picks.append(Pick(team, at, chances[place][lists[team][at]]))
    return picks


class _Draft:
    """Two lists that are drawn from; how far each was read says which items are gone."""

    def __init__(self, lists: tuple[Sequence[str], Sequence[str]]) -> None:
        self.lists = lists
        self._place = tuple({item: at for at, item in enumerate(one)} for one in lists)
        self.n_items = len(self._place[0].keys() | self._place[1].keys())

    def pick(self, there: tuple[int, int], turn: int) -> tuple[int, int, tuple[int, int]]:
        """Who puts an item, which of theirs, and how far both lists are read then."""
        team = turn if there[turn] < len(self.lists[turn]) else 1 - turn
        at = there[team]
        read = list(there)
        read[team] += 1
        for one in (team, 1 - team, team):  # each may be read on past what the other put there
            own, gone = self.lists[one], self._place[1 - one]
            while read[one] < len(own) and gone.get(own[read[one]], len(gone)) < read[1 - one]:
                read[one] += 1
        return team, at, (read[0], read[1])


def _chances(draft: _Draft, n: int) -> list[dict[str, float]]:
    """Of each item at each place: all coins at once, by how far both lists are read after each round."""
    chances: list[dict[str, float]] = [defaultdict(float) for _ in range(n)]
    states = {(0, 0): 1.0}
    for begin in range(0, n, 2):
        after: dict[tuple[int, int], float] = defaultdict(float)
        for state, chance in states.items():
            for first in (0, 1):
                there = state
                for place in range(begin, min(begin + 2, n)):
                    team, at, there = draft.pick(there, (first + place - begin) % 2)
                    chances[place][draft.lists[team][at]] += chance / 2
                after[there] += chance / 2
        states = after
    return chances
