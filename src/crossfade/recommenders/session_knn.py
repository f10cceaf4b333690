"""Past sessions that resemble the recent part of a history."""

from dataclasses import replace

import numba
import numpy as np
import polars as pl

from crossfade.arrays import pack_csr, unpack_csr
from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import Attribution, of_parts, rest_of
from crossfade.recommenders.base import Recommender, mask_unscorable
from crossfade.recommenders.kernels import largest_places, transposed
from crossfade.recommenders.recent import recent_items
from crossfade.recommenders.session_parts import session_parts
from crossfade.threads import over
from crossfade.types import (
    MICROSECONDS_PER_DAY,
    Arrays,
    Csr,
    CsrParts,
    Doubles,
    Floats,
    Ints,
    Rows,
)


class SessionKNNConfig(Settings):
    """Which sessions count as neighbours, and how the past fades."""

    n_neighbours: int = Field(500, ge=1, description="Most similar past sessions that vote.")
    max_sessions_per_item: int = Field(
        1_000,
        ge=1,
        description="Newest past sessions looked at for each item of the history; bounds the cost.",
    )
    half_life_events: float | None = Field(
        5.0,
        gt=0,
        description="Events before the newest at which a history event counts half; unset: all alike.",
    )
    half_life_days: float | None = Field(
        365.0,
        gt=0,
        description="Days until a past session counts half; unset: sessions never fade.",
    )


class SessionKNN(Recommender[SessionKNNConfig]):
    """Votes of the past sessions that share items with what somebody did last.

    The similarity of a past session is the faded weight of the shared items times their
    inverse frequency, over the square root of the session's length, halved every
    ``half_life_days``. Each neighbour votes with it for all its items. Items the person
    has already had get votes too, from the *other* shared items: taking seen items out is
    a policy of the caller.

    The order of a history without times means nothing, so it does not fade. Events
    without a session (data without times and session ids) make one session per person;
    `notices` says so. Scores of known items that no neighbour holds are 0.

    Source:
        Ludewig and Jannach (2018), "Evaluation of Session-based Recommendation
        Algorithms" (VS-kNN); the fading of sessions as in Garg et al. (2019), STAN.
    """

    name = "session_knn"
    Config = SessionKNNConfig
    attribution = "additive"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        self._sessions, self._whole_histories, age_days = past_sessions(dataset)
        lengths = np.diff(self._sessions.indptr)
        fade = np.ones(len(lengths))
        if self.config.half_life_days is not None:
            fade = np.exp2(-age_days / self.config.half_life_days)
        self._vote = (fade / np.sqrt(np.maximum(lengths, 1))).astype(np.float32)
        self._index()

    def _index(self) -> None:
        self._sessions_of = transposed(self._sessions)  # sessions of each item, newest first
        frequency = np.diff(self._sessions_of.indptr)
        n_sessions = self._sessions.shape[0]
        self._idf = np.log1p(n_sessions / np.maximum(frequency, 1)).astype(np.float32)

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when whole histories had to stand in for sessions."""
        if not self._whole_histories:
            return ()
        return (
            f"{self.name}: the data has events without times and session ids, so each person's "
            "whole history counts as one session",
        )

    def _score(self, queries: Queries) -> Floats:
        return mask_unscorable(self._votes(queries, largest=False), queries, self.supported)

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        """Similarity of the best neighbouring session that holds each item."""
        best = mask_unscorable(self._votes(query, largest=True), query, self.supported)
        similarity: Floats = best[0, item_rows]
        return similarity

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """Each neighbouring session's vote is a sum over the recent items it shares."""
        weights = self._weights(query)
        parts, left = session_parts(
            weights,
            self._sessions_of,
            self._sessions,
            self._vote,
            item_rows,
            n_neighbours=self.config.n_neighbours,
            max_sessions=self.config.max_sessions_per_item,
        )
        rest = rest_of(query, item_rows, self.support) + left
        found = of_parts(item_rows, weights[1], parts, rest)
        # Whole histories are no sessions, so what was played last is nothing special in them.
        return replace(found, in_session=not self._whole_histories)

    def _weights(self, queries: Queries) -> CsrParts:
        """Weight of each recent item: how recent, times how rare."""
        indptr, recent, weight = recent_items(queries, self.config.half_life_events, self.supported)
        return indptr, recent, weight * self._idf[recent]

    def _votes(self, queries: Queries, *, largest: bool) -> Floats:
        votes = np.zeros((len(queries), queries.n_items), dtype=np.float32)
        over(
            _vote,
            len(queries),
            *self._weights(queries),
            *self._kept_parts(self._sessions_of)[:2],
            *self._kept_parts(self._sessions)[:2],
            self._vote,
            self.config.n_neighbours,
            self.config.max_sessions_per_item,
            largest,
            votes,
        )
        return votes

    def _state(self) -> Arrays:
        return {
            **pack_csr("sessions", self._sessions),
            "vote": self._vote,
            "whole_histories": np.array([self._whole_histories]),
        }

    def _restore(self, state: Arrays) -> None:
        self._sessions = unpack_csr("sessions", state)
        self._vote = state["vote"].astype(np.float32, copy=False)
        self._whole_histories = bool(state["whole_histories"][0])
        self._index()


def past_sessions(dataset: Dataset) -> tuple[Csr, bool, Doubles]:
    """Wanted items of each session, newest session first.

    Returns:
        Sessions × items with ones; whether some sessions are whole histories, because
        their events have no session; days from each session's end to the newest event
        (0 without times).
    """
    columns = ["user_row", "item_row", "session_row"]
    events = dataset.events.select(
        *columns,
        "strength",
        pl.col("timestamp").to_physical().alias("time_us")
        if dataset.has_times
        else pl.lit(0, dtype=pl.Int64).alias("time_us"),
    ).filter(pl.col("strength") > 0)
    whole = events["session_row"].null_count() > 0
    # A person without sessions gets one of their own: negative numbers are free.
    key = pl.col("session_row").fill_null(-1 - pl.col("user_row"))
    ends = (
        events.group_by(key.alias("session"))
        .agg(pl.col("time_us").max())
        .sort(["time_us", "session"], descending=[True, False])
        .with_row_index("place")
    )
    pairs = (
        events.select(key.alias("session"), "item_row")
        .unique()
        .join(ends, on="session")
        .sort("place", "item_row")
    )
    shape = (ends.height, dataset.n_items)
    where = (pairs["place"].to_numpy(), pairs["item_row"].to_numpy())
    sessions = Csr((np.ones(pairs.height, dtype=np.float32), where), shape=shape)
    end_us = ends["time_us"].to_numpy()
    age_days = (end_us.max(initial=0) - end_us) / MICROSECONDS_PER_DAY
    return sessions, whole, age_days


@numba.njit(cache=True, nogil=True)
def _vote(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    query_indptr: Ints,
    query_items: Rows,
    query_weights: Floats,
    item_indptr: Ints,
    item_sessions: Rows,
    session_indptr: Ints,
    session_items: Rows,
    session_vote: Floats,
    n_neighbours: int,
    max_sessions: int,
    largest: bool,
    votes: Floats,
) -> None:
    shared = np.zeros(len(session_vote), dtype=np.float32)
    touched = np.empty(len(session_vote), dtype=np.int32)
    own = np.zeros(votes.shape[1], dtype=np.float32)
    for query in range(start, stop):
        n = 0
        for place in range(query_indptr[query], query_indptr[query + 1]):
            item, weight = query_items[place], query_weights[place]
            own[item] = weight
            first = item_indptr[item]
            for other in range(first, min(item_indptr[item + 1], first + max_sessions)):
                session = item_sessions[other]
                if shared[session] == 0:
                    touched[n] = session
                    n += 1
                shared[session] += weight
        similarity = shared[touched[:n]] * session_vote[touched[:n]]
        for place in largest_places(similarity, n_neighbours):
            session = touched[place]
            for other in range(session_indptr[session], session_indptr[session + 1]):
                item = session_items[other]
                # A shared item is no evidence for itself, only the other shared ones are.
                vote = (shared[session] - own[item]) * session_vote[session]
                if largest:
                    votes[query, item] = max(votes[query, item], vote)
                else:
                    votes[query, item] += vote
        shared[touched[:n]] = 0
        for place in range(query_indptr[query], query_indptr[query + 1]):
            own[query_items[place]] = 0
