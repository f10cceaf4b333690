"""Drawing some requests of a block, and answering them with reasons."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_datetime
from crossfade.data.splits import Trial
from crossfade.evaluation.samples import Sample, SampleItem
from crossfade.meta.blending import Blend
from crossfade.meta.config import ExplainConfig
from crossfade.meta.explaining import Explainer
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.recommendation import Recommendation
from crossfade.meta.serving import Filters, ListMaker
from crossfade.ranking import RankingConfig
from crossfade.recommenders.base import Recommender
from crossfade.rng import generator

LENGTH = 5
"""Items of a list."""

N_LATEST = 5
"""Items of the history that are named."""

AS_JUDGED = RankingConfig(max_per_creator=0)
"""By score alone, since that is how the lists of the table are made."""


def draw_samples(
    trial: Trial,
    bases: Mapping[str, Recommender[Any]],
    blend: Blend,
    learned: LearnedBlend | None,
    config: ExplainConfig,
    *,
    n: int,
    seed: int,
) -> tuple[Sample, ...]:
    """Some requests of a trial with their lists and reasons, the shortest history first.

    Args:
        trial: Whose requests.
        bases: Fitted on ``trial.train``, by label.
        blend: What scores.
        learned: The fusion model of the blend; None where the static one answers everybody.
        config: How reasons are found and said.
        n: How many; all where there are fewer.
        seed: The run's one seed.
    """
    if n == 0:
        return ()
    calibrator = None if learned is None else learned.calibrator
    lists = ListMaker(trial.train, blend, calibrator)
    explainer = Explainer(trial.train, bases, blend, learned, config)
    rng = generator(seed, "meta.samples")
    chosen = rng.choice(len(trial.queries), min(n, len(trial.queries)), replace=False)
    chosen = chosen[np.lexsort((chosen, np.diff(trial.queries.indptr)[chosen]))]
    return tuple(_sample(trial, at, lists, explainer) for at in chosen.tolist())


def _sample(trial: Trial, at: int, lists: ListMaker, explainer: Explainer) -> Sample:
    query, ids = trial.queries.take([at]), trial.train.item_ids
    hidden = () if trial.hidden is None else ids.decode(trial.hidden[[at]].indices)
    (served,) = lists.serve(query, LENGTH, AS_JUDGED, Filters(block=hidden))
    lines = lists.lines(query, served, explainer.explain(query, served))
    wanted = set(ids.decode(trial.relevant[[at]].indices))
    latest = tuple(ids.decode(_latest(query)))
    user, as_of = int(query.user_row[0]), query.as_of_us
    return Sample(
        user_id=None if user < 0 else trial.train.user_ids.id(user),
        as_of=None if as_of is None else f"{to_datetime(int(as_of[0])):%Y-%m-%d %H:%M}",
        n_history=len(query.item_row),
        latest=latest,
        n_wanted=len(wanted),
        by_model=served.by_model,
        items=tuple(_item(line, wanted) for line in lines),
        titles=_titles(trial.train, {*latest, *_named(lines)}),
    )


def _item(line: Recommendation, wanted: set[str]) -> SampleItem:
    return SampleItem(
        line.item_id,
        line.title,
        line.creator,
        line.probability,
        line.item_id in wanted,
        line.why,
        line.reasons,
    )


def _latest(query: Queries) -> list[int]:
    """Rows of the newest different items, newest first."""
    return list(dict.fromkeys(query.item_row[::-1].tolist()))[:N_LATEST]


def _named(lines: list[Recommendation]) -> set[str]:
    """Ids of the items that reasons rest on."""
    return {
        item for line in lines for reason in line.reasons for item in reason["evidence"]["items"]
    }


def _titles(dataset: Dataset, item_ids: set[str]) -> dict[str, str]:
    if "title" not in dataset.items.columns:
        return {}
    there = dataset.items.filter(
        pl.col("item_id").is_in(sorted(item_ids)), pl.col("title").is_not_null()
    )
    return dict(there.select("item_id", "title").iter_rows())
