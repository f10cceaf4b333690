"""From what a live system is asked to requests that its system can answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossfade.data import Queries
from crossfade.data.asking import Likes
from crossfade.data.query import Situation
from crossfade.errors import CrossfadeError
from crossfade.features.situation import noted
from crossfade.hybrid import HybridModel
from crossfade.online.asks import Ask
from crossfade.online.history import Histories, LiveHistory
from crossfade.types import MICROSECONDS_PER_DAY, Rows

N_NAMED = 3
"""Unknown items that are named."""


@dataclass(frozen=True, eq=False)
class LiveRequest:
    """One request that can be answered.

    Attributes:
        query: The only request in it.
        n_history: Events of its history, without stated likes.
        n_live: How many of them the log does not hold.
        unknown: A sentence for whatever the system does not know.
        features: Whether to say what the learned blend is told.
        withhold: Whether the list is made without the head.
    """

    query: Queries
    n_history: int
    n_live: int
    unknown: tuple[str, ...]
    features: bool
    withhold: bool


class LiveRequests:
    """Makes requests with live histories to one system."""

    def __init__(self, model: HybridModel) -> None:
        self._dataset, self._asking = model.dataset, model.asking
        self._histories = Histories(model.dataset)
        environment = None if model.learned is None else model.learned.environment
        self._max_age_days = None if environment is None else environment.config.max_age_days

    def row(self, item_id: str) -> int:
        """Of an item; -1 where it is unknown."""
        return int(self._dataset.item_ids.rows([item_id])[0])

    def make(self, asks: Sequence[Ask]) -> list[LiveRequest | CrossfadeError]:
        """The request of each, or why there is none."""
        said = [self._said(ask) for ask in asks]
        good = [ask for ask, one in zip(asks, said, strict=True) if isinstance(one, _Said)]
        histories = iter(self._histories.of(good))
        return [
            self._request(ask, one, next(histories)) if isinstance(one, _Said) else one
            for ask, one in zip(asks, said, strict=True)
        ]

    def _said(self, ask: Ask) -> "_Said | CrossfadeError":
        try:
            likes = Likes(ask.items, ask.genres, ask.moods)
            self._asking.check(likes)
            situation = self._asking.situation(ask.context) if ask.context else {}
        except CrossfadeError as error:
            return error
        return _Said(likes, situation)

    def _request(self, ask: Ask, said: "_Said", history: LiveHistory) -> LiveRequest:
        liked, taste = self._asking.known(said.likes)
        query, n_live = history.query, len(history.events)
        n_history = len(query.item_row)
        if query.user_row[0] < 0 and not n_history:
            query = _stranger(query, liked)
        else:
            # Said just before asking: a history ends strictly before its request.
            query = query.liking(liked, None if ask.now_us is None else ask.now_us - 1)
        situation = {**self._latest(history, ask.now_us), **said.situation}
        query = replace(
            query,
            tastes=(taste,) if taste else None,
            situations=(situation,) if situation else None,
        )
        unknown = self._unknown(ask, said.likes, history)
        return LiveRequest(query, n_history, n_live, unknown, ask.features, ask.withhold)

    def _latest(self, history: LiveHistory, now_us: int | None) -> Situation:
        """The situation that live events tell of, each column by the newest event that has it.

        Events that came late, older than what the log holds, say nothing of now.
        """
        found: dict[str, float | str] = {}
        if not self._asking.situations:
            return found
        oldest_us = history.logged_us
        if now_us is not None and self._max_age_days is not None:
            oldest_us = max(oldest_us, now_us - round(self._max_age_days * MICROSECONDS_PER_DAY))
        for event in history.events:
            if event.time_us >= oldest_us:
                found |= noted(self._asking.situations, event.context)
        return found

    def _unknown(self, ask: Ask, likes: Likes, history: LiveHistory) -> tuple[str, ...]:
        notes = []
        if ask.user_id is not None and history.query.user_row[0] < 0:
            notes.append(f'user "{ask.user_id}" is unknown; the list rests on this request alone')
        if history.unknown:
            n, first = len(history.unknown), ", ".join(history.unknown[:N_NAMED])
            notes.append(f"live events on {n} unknown items are left out ({first}); check the ids")
        return (*notes, *self._asking.unknown(likes))


@dataclass(frozen=True)
class _Said:
    """What somebody says with a request, checked."""

    likes: Likes
    situation: Situation


def _stranger(nobody: Queries, liked: Rows) -> Queries:
    """Somebody of whom nothing is known but what they say they like, just before asking."""
    query = Queries.of_items(liked, nobody.n_items)
    if nobody.as_of_us is None:
        return query
    return replace(
        query, as_of_us=nobody.as_of_us, time_us=np.repeat(nobody.as_of_us - 1, len(liked))
    )
