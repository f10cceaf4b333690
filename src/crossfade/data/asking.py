"""From what somebody is called and says they like to a request."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from crossfade.data.dataset import Dataset, to_us
from crossfade.data.labels import LabelIndex
from crossfade.data.query import Queries, Taste
from crossfade.data.vocabulary import check_texts
from crossfade.errors import UnknownIdError
from crossfade.types import Rows


@dataclass(frozen=True)
class Likes:
    """What somebody says they like, in the words of the outside world.

    Attributes:
        items: Item ids.
        genres: Genre labels, any case.
        moods: Mood labels, any case.

    Raises:
        ConfigError: If one of them is no list of texts.
    """

    items: Sequence[str] = ()
    genres: Sequence[str] = ()
    moods: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, said in vars(self).items():
            check_texts(name, said)


class Asking:
    """Makes requests to a data set, and says what it does not know."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._genres = LabelIndex(dataset.items, "genre")
        self._moods = LabelIndex(dataset.items, "mood")

    def query(
        self, likes: Likes, user: str | None = None, as_of: datetime | None = None
    ) -> Queries:
        """The request of a known user, or of a stranger, with what they say they like.

        Liked items are the newest events of the history. What is unknown is left out.

        Args:
            likes: What the person says.
            user: Who asks; None is a stranger.
            as_of: A user's history counts strictly before this; None takes all of it.

        Raises:
            UnknownIdError: If the user is unknown, or no user is given and all that is said is
                unknown.
            DataError: If ``as_of`` is given and the data has no times.
        """
        liked, taste = self.known(likes)
        if user is None:
            notes = self.unknown(likes)
            if notes and not len(liked) and not taste:
                raise UnknownIdError("\n".join(notes))
            query = Queries.of_items(liked, self._dataset.n_items)
        else:
            row, now_us = self._dataset.user_ids.row(user), None if as_of is None else to_us(as_of)
            query = self._dataset.queries([row], None if now_us is None else np.array([now_us]))
            # Said just before asking: a history ends strictly before its request.
            query = query.liking(liked, None if now_us is None else now_us - 1)
        return replace(query, tastes=(taste,)) if taste else query

    def known(self, likes: Likes) -> tuple[Rows, Taste]:
        """Rows of the items, and the genres and moods, that are known."""
        rows = self._dataset.item_ids.rows(likes.items)
        taste = Taste(self._genres.split(likes.genres)[0], self._moods.split(likes.moods)[0])
        return rows[rows >= 0], taste

    def unknown(self, likes: Likes) -> list[str]:
        """One sentence for the items, and for each genre or mood, that nobody knows."""
        strangers = [item for item in likes.items if item not in self._dataset.item_ids]
        notes = []
        if strangers and len(strangers) == len(likes.items):
            notes.append(
                f"none of the {len(likes.items)} items is known ({', '.join(strangers[:3])}); check the ids"
            )
        elif strangers:
            notes.append(f"unknown items ignored: {', '.join(strangers)}")
        for index, asked in ((self._genres, likes.genres), (self._moods, likes.moods)):
            notes += [index.unknown(label) for label in index.split(asked)[1]]
        return notes
