"""Which items of a history the votes of past sessions come from."""

import numba
import numpy as np

from crossfade.recommenders.attribution import as_it_is, place_of, sieve_of
from crossfade.recommenders.kernels import largest_places
from crossfade.types import Bools, Csr, CsrParts, Floats, Ints, Rows


def session_parts(
    weights: CsrParts,
    sessions_of: Csr,
    sessions: Csr,
    vote: Floats,
    item_rows: Rows,
    *,
    n_neighbours: int,
    max_sessions: int,
) -> tuple[Floats, Floats]:
    """Parts of one history in the votes for some items.

    A neighbouring session's vote for an item is a sum over the other items it shares with the
    history, so the votes of all neighbours are one too.

    Args:
        weights: Weight of each item of the history, a matrix of one row.
        sessions_of: Sessions of each item, newest first.
        sessions: Items of each session.
        vote: What a session's votes are multiplied by.
        item_rows: Shape ``(L,)``; they may repeat.
        n_neighbours: Most similar sessions that vote.
        max_sessions: Newest sessions looked at for each item of the history.

    Returns:
        Parts ``(L, H)`` by the stored items of the history; and what they leave, ``(L,)``: below
        0 for an item of the history, whose weight is taken from sessions too old to have counted it.
    """
    wanted = np.sort(item_rows)
    _, liked, weight = weights
    parts = np.zeros((len(wanted), len(liked)), dtype=np.float32)
    rest = np.zeros(len(wanted), dtype=np.float32)
    _parts(
        liked,
        weight,
        *as_it_is(sessions_of)[:2],
        *as_it_is(sessions)[:2],
        vote,
        n_neighbours,
        max_sessions,
        wanted,
        parts,
        rest,
    )
    where = np.searchsorted(wanted, item_rows)  # of equal items the first is filled
    return parts[where], rest[where]


@numba.njit(cache=True, nogil=True)
def _parts(  # noqa: PLR0917  (kernels know no keywords)
    liked: Rows,
    weights: Floats,
    item_indptr: Ints,
    item_sessions: Rows,
    session_indptr: Ints,
    session_items: Rows,
    session_vote: Floats,
    n_neighbours: int,
    max_sessions: int,
    wanted: Rows,
    parts: Floats,
    rest: Floats,
) -> None:
    shared = np.zeros(len(session_vote), dtype=np.float32)
    touched = np.empty(len(session_vote), dtype=np.int32)
    # Sessions of an item are looked at up to this one: rows grow with age.
    oldest = np.full(len(liked), -1, dtype=np.int32)
    n = 0
    for place in range(len(liked)):
        first = item_indptr[liked[place]]
        stop = min(item_indptr[liked[place] + 1], first + max_sessions)
        for at in range(first, stop):
            session = item_sessions[at]
            if shared[session] == 0:
                touched[n] = session
                n += 1
            shared[session] += weights[place]
            oldest[place] = session
    asked, mine = sieve_of(wanted), sieve_of(liked)
    items, events = np.empty(len(wanted), dtype=np.int64), np.empty(len(liked), dtype=np.int64)
    similarity = shared[touched[:n]] * session_vote[touched[:n]]
    for neighbour in largest_places(similarity, n_neighbours):
        session = touched[neighbour]
        inside = session_items[session_indptr[session] : session_indptr[session + 1]]
        n_items = _found(inside, wanted, asked, items)
        n_events = _found(inside, liked, mine, events) if n_items else 0
        for event in events[:n_events]:
            part = weights[event] * session_vote[session]
            counted = session <= oldest[event]
            for item in items[:n_items]:
                if wanted[item] != liked[event]:
                    if counted:
                        parts[item, event] += part
                elif not counted:
                    rest[item] -= part


@numba.njit(cache=True, nogil=True)
def _found(inside: Rows, ordered: Rows, sieve: Bools, places: Ints) -> int:
    """Write where each item of a session stands among ascending ones; gives how many there are."""
    n = 0
    for item in inside:
        place = place_of(item, ordered, sieve)
        if place >= 0:
            places[n] = place
            n += 1
    return n
