"""From what the outside world says to a request that one system can answer."""

from dataclasses import replace
from datetime import datetime

from crossfade.data import Dataset, Queries
from crossfade.data.asking import Asking, Likes
from crossfade.data.query import Situation
from crossfade.errors import ConfigError
from crossfade.features.situation import Context, stated
from crossfade.meta.blending import Blend
from crossfade.meta.learning import LearnedBlend


class RequestMaker(Asking):
    """Makes requests, and refuses what the system would not hear.

    Args:
        dataset: Whose items and people they are.
        blend: What answers.
        learned: The fusion model of the blend; None where the static one answers everybody.

    Attributes:
        situations: The event columns of situations that the blend learned with.
    """

    def __init__(self, dataset: Dataset, blend: Blend, learned: LearnedBlend | None) -> None:
        super().__init__(dataset)
        self._blend = blend
        self.situations = () if learned is None else learned.situations

    def make(
        self,
        likes: Likes,
        user: str | None,
        as_of: datetime | None,
        context: Context | None,
    ) -> Queries:
        """As `query`, in a situation.

        Raises:
            UnknownIdError: As `query`.
            DataError: Likewise.
            ConfigError: If ``as_of`` comes without a user, genres or moods are given and no base
                reads them, or as `stated` where the blend did not learn with the context.
        """
        if user is None and as_of is not None:
            raise ConfigError("as_of cuts a user's history, a stranger has none; leave it out")
        self.check(likes)
        query = self.query(likes, user, as_of)
        return replace(query, situations=(self.situation(context),)) if context else query

    def check(self, likes: Likes) -> None:
        """Raise unless the system hears what is said.

        Raises:
            ConfigError: If genres or moods are given and no base reads them.
        """
        if (len(likes.genres) or len(likes.moods)) and self._blend.taste is None:
            raise ConfigError(
                "no base reads genres or moods; add genre_popularity or content_knn to the bases and fit again"
            )

    def situation(self, context: Context) -> Situation:
        """What is said of the situation of a request, checked.

        Raises:
            ConfigError: As `stated` where the blend did not learn with it.
        """
        return stated(self.situations, context)
