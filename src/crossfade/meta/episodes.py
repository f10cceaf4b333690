"""Meta-learning tasks from blocks of a log: what somebody wanted in one, then in a later one."""

from collections.abc import Sequence

import numpy as np

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.tasks import (
    N_QUERY,
    N_SUPPORT,
    Episodes,
    episodes_of,
    limited,
    split_list,
    teachable,
)
from crossfade.meta.signals import stacked
from crossfade.types import Ints

__all__ = ["Episodes", "from_blocks", "matched", "split_list"]


def matched(support: LabelledSignals, query: LabelledSignals, rng: np.random.Generator) -> Episodes:
    """People who wanted something in both blocks: their last list of one, their first of the other.

    The blocks' bases may be fitted at different times; what joins the sides is the person.

    Args:
        support: Of the earlier block.
        query: Of the later block.
        rng: Draws which wanted candidates stay where there are more than `N_SUPPORT` or `N_QUERY`.

    Returns:
        One task per person, by rising ``user_row``, both sides as wide as the wider; strangers
        (-1) and people of whom nothing wanted can be scored on a side are left out.

    Raises:
        ValueError: If the blocks have different columns.
    """
    last, first = _places(support, latest=True), _places(query, latest=False)
    people = sorted(last.keys() & first.keys())
    both = stacked([support, query])
    rows = np.array([last[person] for person in people], dtype=np.int64)
    later = np.array([len(support) + first[person] for person in people], dtype=np.int64)
    return Episodes(
        limited(both.take(rows), N_SUPPORT, rng), limited(both.take(later), N_QUERY, rng)
    )


def from_blocks(blocks: Sequence[LabelledSignals], rng: np.random.Generator) -> Episodes:
    """Every task in some blocks, earliest first; see `episodes_of`.

    Raises:
        ValueError: If the blocks have different columns.
    """
    return episodes_of(stacked(blocks), rng)


def _places(labelled: LabelledSignals, *, latest: bool) -> dict[int, int]:
    """The last or first list of each named person in which something wanted can be scored."""
    people = labelled.signals.user_row
    if people is None:
        return {}
    places: Ints = np.flatnonzero((people >= 0) & teachable(labelled).any(axis=1))
    # The last of equal keys stays.
    return {int(people[place]): int(place) for place in (places if latest else places[::-1])}
