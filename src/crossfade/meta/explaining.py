"""Why each item of a list is there: from contributions and evidence to reasons and sentences."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.explain.acclaim import Acclaim, acclaim_level
from crossfade.explain.reasons import find_reasons
from crossfade.explain.sentences import Certainty, Explanation, Names, Note, explain
from crossfade.explain.words import load_words
from crossfade.features.acclaim import ratings_before
from crossfade.meta.blending import Blend
from crossfade.meta.config import ExplainConfig
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.recommendation import Recommendation
from crossfade.meta.serving import ListMaker, Served
from crossfade.recommenders.attribution import Attribution
from crossfade.recommenders.base import Recommender
from crossfade.types import Bools, Doubles, Ints, Rows


class Explainer:
    """Gives reasons for the lists of one system.

    Args:
        dataset: Whose items and people they are.
        bases: Fitted, by label.
        blend: What scored.
        learned: The fusion model of the blend; None where the static one answers everybody.
        config: Settings.

    Raises:
        ConfigError: If there are no words for the pack or the language.
    """

    def __init__(
        self,
        dataset: Dataset,
        bases: Mapping[str, Recommender[Any]],
        blend: Blend,
        learned: LearnedBlend | None,
        config: ExplainConfig,
    ) -> None:
        self.bases, self.blend, self.config = bases, blend, config
        self.model = None if learned is None else learned.model
        self.limits = None if learned is None else learned.limits
        self._dataset = dataset
        self._words = load_words(config.pack, config.language)
        items = dataset.items
        titles, creators = (
            items[name] if name in items.columns else None for name in ("title", "creator")
        )
        ids = dataset.item_ids
        self._names = Names(
            title=lambda row: (None if titles is None else titles[row]) or ids.id(row),
            creator=lambda row: (None if creators is None else creators[row]) or None,
        )

    def explain(self, query: Queries, served: Served) -> list[Explanation]:
        """Reasons for each item of the list of one request.

        Args:
            query: The request, as it was served.
            served: Its list.
        """
        rows = served.ranked.item_row
        if not len(rows):
            return []
        contributions, residual = self.lifts(query, served)
        # Who lifts no item of the list above the average one need not be asked why.
        asked = [label for label, given in contributions.items() if (given > 0).any()]
        found: dict[str, Attribution] = {}
        for label in asked:
            attribution = self.bases[label].attribute(query, rows)
            if attribution is not None:
                found[label] = attribution
        acclaim = self._acclaim(query, rows)
        reasons = find_reasons(
            contributions, found, residual=residual, acclaim=acclaim, config=self.config.reasons
        )
        adapted = self._adapted(served)
        return [
            explain(
                int(row),
                reasons[at],
                self._certainty(served, at, adapted=bool(adapted[at])),
                self._words,
                names=self._names,
                acclaim=self._noted(acclaim[at]),
                config=self.config.sentences,
            )
            for at, row in enumerate(rows)
        ]

    def lifts(self, query: Queries, served: Served) -> tuple[dict[str, Doubles], Doubles]:
        """How far each base lifts each item of a list above the average candidate.

        What is the same for all candidates (an intercept, the level of reciprocal ranks, how much
        somebody wants at all) speaks for none of them, so it is in nothing that is given here.

        Returns:
            The same for each base by label, ``(n,)``, 0 where it had no say; and what no base
            accounts for. Together they are the listed score less that of the average candidate.
        """
        if served.told is None or self.model is None:
            rows = served.ranked.item_row
            labels, given, average = self.blend.plain_contributions(query, rows, served.score)
        else:
            signals, fused = served.told
            labels, average = signals.columns.bases, float(np.nanmean(fused.score[0]))
            given = self.model.contributions(signals, served.place, fused)
        centred = given.centred
        if served.tilted is not None:  # what a tilt adds to the average candidate is 0
            centred = centred + served.tilted[served.place]
        by_label = dict(zip(labels, centred.T, strict=True))
        return by_label, given.centred_residual - average

    @cached_property
    def _rated(self) -> tuple[Doubles, Ints]:
        """Mean rating of every item by the whole log, and how many made it; kept for all requests."""
        everything = np.arange(self._dataset.n_items, dtype=np.int32)
        return ratings_before(self._dataset, everything, None)

    def _acclaim(self, query: Queries, rows: Rows) -> list[Acclaim]:
        """Ratings of some items as of the request."""
        times = self._dataset.time_us
        if query.as_of_us is None or times is None or query.as_of_us[0] > times[-1]:
            mean, n = (part[rows] for part in self._rated)
        else:
            mean, n = ratings_before(self._dataset, rows, int(query.as_of_us[0]))
        return [Acclaim(*one) for one in zip(mean.tolist(), n.tolist(), strict=True)]

    def _noted(self, ratings: Acclaim) -> Note | None:
        level = acclaim_level(ratings, self.config.reasons.acclaim)
        return None if level is None else Note("acclaim", level, ratings.n_ratings)

    def _adapted(self, served: Served) -> Bools:
        """Whether what is known of this person alone moved the weights of each item, ``(n,)``.

        Or, by a tilt, its score by more than the same share of the spread of all scores.
        """
        if served.told is None or self.model is None:
            return np.zeros(len(served.score), dtype=np.bool_)
        moved = self.model.adaptation(*served.told)[0, served.place]
        if served.tilted is not None:
            pushed = np.abs(served.tilted[served.place]).max(axis=-1, initial=0)
            moved = np.maximum(moved, pushed / np.nanstd(served.told[1].score[0]))
        return np.asarray(moved > self.config.sentences.adapted)

    def _certainty(self, served: Served, at: int, *, adapted: bool) -> Certainty:
        probability, uncertainty = float(served.probability[at]), float(served.uncertainty[at])
        return Certainty(
            None if isnan(probability) else probability,
            None if isnan(uncertainty) else uncertainty,
            self.limits,
            adapted,
        )


def explained(
    lists: ListMaker,
    explainer: Explainer,
    query: Queries,
    item_row: int,
    tilt: Doubles | None = None,
) -> Recommendation | None:
    """One item of one request with its reasons, ranked by score alone; see `ListMaker.one`."""
    found = lists.one(query, item_row, tilt)
    if found is None:
        return None
    (line,) = lists.lines(query, found[0], explainer.explain(query, found[0]))
    return replace(line, rank=found[1])
