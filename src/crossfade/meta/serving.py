"""From requests to ranked lists: the one way that single requests and batches take."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.vocabulary import check_texts
from crossfade.explain.sentences import Explanation
from crossfade.fusion.base import Fused, Signals
from crossfade.meta.blending import Blend
from crossfade.meta.listing import Listed, Tilts, list_candidates
from crossfade.meta.probability import Probability
from crossfade.meta.recommendation import Names, Recommendation, Recommendations
from crossfade.ranking import Candidates, Conditions, Ranked, RankingCatalogue, RankingConfig, rank
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints

AT_ONCE = 32
"""Requests that are listed together, so that memory stays bounded."""


@dataclass(frozen=True)
class Filters:
    """What must hold for every item of some lists, in the words of the outside world.

    Attributes:
        block: Ids of items that are not listed; unknown ones are ignored.
        allow: Ids of the only items that may be listed; None allows all, unknown ones are ignored.
        rules: What items must fulfil, such as ``not genres has "comedy"``; see `ranking.rules`.

    Raises:
        ConfigError: If one of them is no list of texts.
    """

    block: Sequence[str] = ()
    allow: Sequence[str] | None = None
    rules: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, given in vars(self).items():
            check_texts(name, () if given is None else given)

    def __bool__(self) -> bool:
        return bool(len(self.block) or len(self.rules)) or self.allow is not None


@dataclass(frozen=True, eq=False)
class Served:
    """The list of one request; n items.

    Attributes:
        ranked: What was chosen, and what gave way.
        score: Blended, ``(n,)``.
        probability: That the person wants it, ``(n,)``; NaN where no calibrated model spoke.
        uncertainty: How unsure the score is, ``(n,)``; NaN where nothing is said of that.
        by_model: Whether the learned model answered.
        weights: Of the bases in each score, ``(n, S)``; NaN where the model weighs none, None
            where it did not answer.
        place: Of each item in the list of candidates, ``(n,)``.
        told: What the learned model was given and said of the only request; None where it did
            not answer, and for several requests at once.
        tilted: What the person's own tilt added to the scores of the candidates, by base, ``(L, S)``;
            None where there was none, or it changed nothing.
        untilted: The list as it would be without that; None likewise.
    """

    ranked: Ranked
    score: Floats
    probability: Doubles
    uncertainty: Floats
    by_model: bool
    weights: Floats | None
    place: Ints
    told: tuple[Signals, Fused] | None
    tilted: Doubles | None = None
    untilted: "Served | None" = None


class ListMaker:
    """Lists candidates and ranks them.

    Args:
        dataset: Whose items they are.
        blend: What scores.
        probability: Of the learned model's scores; None where it is not calibrated.
        kept: What a bundle kept of `RankingCatalogue`; None reads the items.
    """

    def __init__(
        self,
        dataset: Dataset,
        blend: Blend,
        probability: Probability | None,
        kept: Arrays | None = None,
    ) -> None:
        self.blend, self.probability = blend, probability
        self.catalogue = RankingCatalogue(dataset.items, kept)
        self.names = Names(dataset)
        self._ids = dataset.item_ids
        times = dataset.time_us
        self._end_us = None if times is None or not len(times) else int(times[-1]) + 1

    def serve(
        self,
        queries: Queries,
        k: int,
        config: RankingConfig,
        filters: Filters | None = None,
        rng: np.random.Generator | None = None,
        *,
        apart: bool = False,
        tilts: Tilts | None = None,
        rescored: Callable[[Queries, Listed], Listed] | None = None,
    ) -> list[Served]:
        """The list of each request.

        A request without a time is one at the end of the log, where items come and go.

        Args:
            queries: Any number.
            k: Length of each list; fewer come back where fewer may be listed.
            config: How lists are ranked.
            filters: What must hold for every item.
            rng: For slots left to chance.
            apart: Whether each list is the same to the last bit whoever else asks; see
                `list_candidates`.
            tilts: Of each request; likewise.
            rescored: Gives candidates other scores before they are ranked; None leaves them.

        Raises:
            ConfigError: As `rank`.
        """
        given = self._conditions(filters or Filters())
        only = self._only(given, config) if filters else None
        served = []
        for start, batch in _batches(queries):
            least = k if k > self._usual else 0
            own = None if tilts is None else tilts[start : start + len(batch)]
            listed = list_candidates(
                self.blend, batch, self.probability, only, least, apart=apart, tilts=own
            )
            if rescored is not None:
                listed = rescored(batch, listed)
            for at in range(len(batch)):
                conditions = self._of_request(given, batch, at, config)
                ranked = partial(
                    rank,
                    catalogue=self.catalogue,
                    k=k,
                    config=config,
                    conditions=conditions,
                    rng=rng,
                )
                one = self._served(listed, at, ranked)
                if one.tilted is not None and listed.untilted is not None:
                    plain = replace(listed, score=listed.untilted, tilted=None)
                    one = replace(one, untilted=self._served(plain, at, ranked))
                served.append(one)
        return served

    def one(
        self, query: Queries, item_row: int, tilt: Doubles | None = None
    ) -> tuple[Served, int] | None:
        """One item as it stands among the candidates of a request, whoever proposes it.

        Nothing but scores decides here: neither limits nor conditions, only that what the person
        knows has no score where it is not listed.

        Args:
            query: The request.
            item_row: The item.
            tilt: Of the person.

        Returns:
            The item as a list of its own, and its rank by score among all candidates, ties by
            item row; None where nobody can score it.
        """
        also = np.array([item_row], dtype=np.int32)
        listed = list_candidates(self.blend, query, self.probability, also=also, tilts=[tilt])
        rows, scores = listed.item_row[0], listed.score[0]
        score = scores[rows == item_row][0]
        if np.isnan(score):
            return None
        before = (scores > score) | ((scores == score) & (rows < item_row))

        def alone(candidates: Candidates) -> Ranked:
            place = np.flatnonzero(candidates.item_row == item_row)
            return Ranked(also, place, np.ones(1), (), (), 1, len(candidates.item_row), {})

        return self._served(listed, 0, alone), 1 + int((before & (rows >= 0)).sum())

    @property
    def _usual(self) -> int:
        learned = self.blend.learned
        return 0 if learned is None else learned.lists.n_candidates

    def _conditions(self, filters: Filters) -> Conditions:
        return Conditions(
            block=self._ids.rows(filters.block),
            allow=None if filters.allow is None else self._ids.rows(filters.allow),
            rules=tuple(filters.rules),
        )

    def _only(self, given: Conditions, config: RankingConfig) -> Bools:
        """Items that may be listed at all, so that candidates are not spent on others."""
        only: Bools = self.catalogue.allowed((*config.rules, *given.rules)).copy()
        if given.allow is not None:
            only &= np.isin(np.arange(len(only)), given.allow)
        only[given.block[given.block >= 0]] = False
        return only

    def _of_request(
        self, given: Conditions, queries: Queries, at: int, config: RankingConfig
    ) -> Conditions:
        start, stop = queries.indptr[at], queries.indptr[at + 1]
        past = queries.item_row[start:stop]
        moment = self._end_us if queries.as_of_us is None else int(queries.as_of_us[at])
        history = None
        if config.calibrated > 0:
            wanted = queries.strength[start:stop] > 0
            history = self.catalogue.genre_shares(
                past[wanted], queries.strength[start:stop][wanted]
            )
        return replace(
            given,
            seen=past if self.blend.exclude_seen else past[:0],
            as_of_us=moment if self.catalogue.has_windows else None,
            history=history,
        )

    def _served(self, listed: Listed, at: int, ranked_by: Callable[[Candidates], Ranked]) -> Served:
        there = np.flatnonzero(listed.item_row[at] >= 0)
        score, chance, doubt = (
            part[at][there] for part in (listed.score, listed.probability, listed.uncertainty)
        )
        by_model = bool(listed.by_model[at])
        candidates = Candidates(
            listed.item_row[at][there],
            score,
            chance if by_model and self.probability is not None else None,
            doubt if by_model else None,
        )
        ranked = ranked_by(candidates)
        place = ranked.place
        weights = None
        if by_model and listed.weights is not None:
            weights = listed.weights[at][there[place]]
        told = listed.told if len(listed) == 1 else None
        tilted = None if listed.tilted is None else listed.tilted[at]
        if tilted is not None and not tilted.any():
            tilted = None
        parts = (score[place], chance[place], doubt[place])
        return Served(ranked, *parts, by_model, weights, there[place], told, tilted)

    def _told(self, why: Sequence[Explanation] | None, n: int) -> list[dict[str, Any]]:
        """Sentence, reasons and notes of each item, as `Recommendation` has them."""
        if why is None:
            return [{}] * n
        item_id = self._ids.id
        return [
            {
                "why": one.sentence,
                "reasons": tuple(reason.to_json(item_id) for reason in one.reasons),
                "notes": tuple(vars(note) for note in one.notes),
            }
            for one in why
        ]

    def lines(
        self, query: Queries, served: Served, why: Sequence[Explanation] | None = None
    ) -> Recommendations:
        """The list of a single request for people, best first; with reasons where they are given."""
        told = self._told(why, len(served.score))
        rows = served.ranked.item_row
        if served.weights is None:
            shares = self.blend.plain_shares(query, rows)
        else:
            shares = _shares(self.blend.labels, served.weights)
        return Recommendations(
            Recommendation(
                rank=at + 1,
                item_id=item_id,
                title=title,
                creator=creator,
                score=float(served.score[at]),
                weights=shares[at],
                probability=_known(served.probability[at]),
                uncertainty=_known(served.uncertainty[at]),
                propensity=float(served.ranked.propensity[at]),
                **told[at],
            )
            for at, (item_id, title, creator) in enumerate(self.names.of(rows))
        )


def list_table(users: Sequence[str], served: Sequence[Served], ids: pl.Series) -> pl.DataFrame:
    """Lists of many users below one another.

    Args:
        users: Whose each list is.
        served: The lists.
        ids: Of all items, by row.

    Returns:
        ``user_id``, ``rank`` (1 for the best), ``item_id``, ``score``, ``probability`` (null where no
        calibrated model spoke) and ``propensity``.
    """
    sizes = [len(one.score) for one in served]
    ranks = [np.arange(1, size + 1) for size in sizes]

    def below(arrays: list[Any], kind: Any) -> Any:
        return np.concatenate([np.zeros(0, kind), *arrays]).astype(kind)

    rows = below([one.ranked.item_row for one in served], np.int64)
    return pl.DataFrame(
        {
            "user_id": pl.Series(users, dtype=pl.String).gather(
                np.repeat(np.arange(len(sizes)), sizes)
            ),
            "rank": below(ranks, np.int32),
            "item_id": ids.gather(rows),
            "score": below([one.score for one in served], np.float32),
            "probability": pl.Series(
                below([one.probability for one in served], np.float64)
            ).fill_nan(None),
            "propensity": below([one.ranked.propensity for one in served], np.float64),
        }
    )


def _shares(labels: Sequence[str], weights: Floats) -> list[dict[str, float]]:
    """What acted by label; nothing where no base is weighed."""
    return [
        {label: weight for label, weight in zip(labels, line, strict=True) if weight > 0}
        for line in weights.tolist()
    ]


def _batches(queries: Queries) -> Iterator[tuple[int, Queries]]:
    """Some requests at a time, each with the place of the first."""
    # A single request stays the very object it is, which what was said of it is found by.
    if len(queries) == 1:
        yield 0, queries
    else:
        for place, batch in queries.batches(AT_ONCE):
            yield place.start, batch


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
