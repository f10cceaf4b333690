"""What a score of the towers owes to items of the history, to how things sound, and to ratings.

Shapes: L items asked for, H items of the history, D numbers of a joined vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossfade.data import Queries
from crossfade.features.items import ItemArrays
from crossfade.recommenders.attribution import NONE, Attribution, of_parts
from crossfade.types import Bools, Doubles, Floats, Rows

LEFT_OUT = 20
"""Items of a history that are left out one by one to see what a score owes to them, the newest ones."""

ALIKE = 1.0
"""Two items sound alike if the mean of `differences` over their features is below this. Of two items
drawn at random it is 2."""

LEAST_FEATURES = 4
"""With fewer audio features known of both, nobody can say whether two items sound alike."""

ATTRIBUTES = ("sound", "guessed_sound", "acclaim")

Scores = Callable[[Floats], Floats]
"""From item vectors ``(L, D)`` to scores for some versions of a request, ``(n, L)``."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One request as it is and in versions that lack something, and the items asked for.

    Attributes:
        item_row: The items, ``(L,)``.
        found: Their vectors, ``(L, D)``.
        hidden: The same, had something not been known of them, by what; see `fitting.Trained`.
        liked: Items of the history that were left out, ``(H,)``.
        without: Scores for the request, and then for it without each of them.
        unheard: Scores for the request, and then for it as if nobody knew how each of them sounds.
    """

    item_row: Rows
    found: Floats
    hidden: dict[str, Floats]
    liked: Rows
    without: Scores
    unheard: Scores


def newest(query: Queries, most: int) -> Rows:
    """The items of one history that were wanted last, ascending."""
    wanted = query.item_row[query.strength > 0][::-1]
    rows, last = np.unique(wanted, return_index=True)
    return np.sort(rows[np.argsort(last, kind="stable")[:most]]).astype(np.int32)


def tower_parts(asked: Asked, items: ItemArrays, spread: Doubles) -> Attribution:
    """What the scores lose without each item of the history, and what of that is owed to sound.

    Where two items sound alike, the score may owe something to that: as much as it loses when
    the history item's audio is hidden, less what it loses likewise when the audio of the item
    asked for is hidden too. What either audio does alone is no likeness of the two.

    Args:
        asked: The request and the items.
        items: The whole catalogue.
        spread: Deviation of each audio feature, ``(8,)``.
    """
    scores = asked.without(asked.found)
    parts = np.zeros((len(asked.item_row), len(asked.liked) + 1, 1 + len(ATTRIBUTES)), np.float32)
    parts[:, :-1, 0] = _lost(scores)
    if "sound" in asked.hidden:
        alike, guessed = _alike(items, spread, asked.item_row, asked.liked)
        if alike.any():
            lost, alone = (_lost(asked.unheard(v)) for v in (asked.found, asked.hidden["sound"]))
            owed = np.where(alike, lost - alone, np.float32(0))
            parts[:, :-1, 0] -= owed
            parts[:, :-1, 1] = np.where(guessed, 0, owed)
            parts[:, :-1, 2] = np.where(guessed, owed, 0)
    if "acclaim" in asked.hidden:
        parts[:, -1, 3] = scores[0] - asked.without(asked.hidden["acclaim"])[0]
    rest = scores[0] - parts.sum(axis=(1, 2))
    history = np.append(asked.liked, np.int32(NONE))
    return of_parts(asked.item_row, history, parts, rest, ATTRIBUTES)


def _lost(scores: Floats) -> Floats:
    """What the first loses in each of the others, ``(L, H)``."""
    lost: Floats = (scores[0] - scores[1:]).T
    return lost


def _alike(items: ItemArrays, spread: Doubles, item_row: Rows, liked: Rows) -> tuple[Bools, Bools]:
    """Which pairs sound alike, and of which of them that is partly a guess, both ``(L, H)``."""
    difference, sure = differences(items, spread, item_row, liked)
    known = ~np.isnan(difference)
    n_known = known.sum(axis=2)
    mean = np.nansum(difference, axis=2) / np.maximum(n_known, 1)
    alike: Bools = (n_known >= LEAST_FEATURES) & (mean < ALIKE)
    guessed: Bools = np.asarray((known & ~sure).any(axis=2))
    return alike, guessed


def differences(
    items: ItemArrays, spread: Doubles, item_row: Rows, liked: Rows
) -> tuple[Doubles, Bools]:
    """Expected squared difference of audio features in variances of the catalogue.

    A guess adds the variance that it leaves unexplained: what is not known may well differ.

    Returns:
        Shape ``(L, H, 8)``, NaN where either has no value or the catalogue has one only; and
        whether both values were measured, same shape.
    """
    yardstick = np.where(spread > 0, spread, np.nan)
    one, other = (items.audio[rows] / yardstick for rows in (item_row, liked))
    sure, sure_too = (items.audio_confidence[rows] for rows in (item_row, liked))
    doubt = (1.0 - sure)[:, None, :] + (1.0 - sure_too)[None, :, :]
    difference: Doubles = np.square(one[:, None, :] - other[None, :, :]) + doubt
    return difference, doubt == 0
