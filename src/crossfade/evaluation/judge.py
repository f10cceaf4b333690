"""From scorers to judged lists: one trial at a time, in batches that fit in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.data.splits import Trial
from crossfade.evaluation.beyond import PER_LIST_METRICS, ItemFacts
from crossfade.evaluation.config import EvaluationConfig, split
from crossfade.evaluation.metrics import ACCURACY_METRICS, locate
from crossfade.progress import measured, task
from crossfade.types import Bools, Csr, Doubles, Floats, Ints, Rows


class Scorer(Protocol):
    """Anything that can be evaluated."""

    @property
    def name(self) -> str:
        """Name in the tables; unique within one evaluation."""

    def score_batch(self, queries: Queries) -> Floats:
        """Scores of all items, shape ``(n, n_items)``; NaN where it cannot score."""


@dataclass(frozen=True)
class Named:
    """A scorer under another name, so that two settings of one model can be compared."""

    name: str
    scorer: Scorer

    def score_batch(self, queries: Queries) -> Floats:
        """The scores of the scorer inside."""
        return self.scorer.score_batch(queries)


@dataclass(frozen=True)
class Judged:
    """All models' lists on one trial, judged.

    Attributes:
        values: Per request, model and metric of `EvaluationConfig.per_request`, shape
            ``(n, n_models, n_metrics)``; NaN where a metric does not exist for a list.
        found: Whether each stored entry of ``relevant`` is in the first
            `EvaluationConfig.slice_recall_k`, shape ``(nnz, n_models)``.
        exposure: How often each item is in the first k, per model and overall metric,
            shape ``(n_models, n_overall, n_items)``.
        n_tied: Requests whose list was decided by equal scores, shape ``(n_models,)``.
    """

    values: Doubles
    found: Bools
    exposure: Ints
    n_tied: Ints


@dataclass(frozen=True)
class Answers:
    """Everything the models were judged by, over all trials.

    Attributes:
        trials: The trials.
        models: Names of the models.
        values: Shape ``(n_requests, n_models, n_metrics)``.
        found: Per trial, shape ``(nnz, n_models)``.
        exposure: Shape ``(n_models, n_overall, n_items)``.
        unit: Whose each request is, from 0; a stranger is a unit of their own.
        n_units: Number of units.
    """

    trials: tuple[Trial, ...]
    models: tuple[str, ...]
    values: Doubles
    found: tuple[Doubles, ...]
    exposure: Ints
    unit: Ints
    n_units: int


def units(trials: Sequence[Trial]) -> tuple[Ints, int]:
    """Users get one unit over all trials; every stranger's request is a unit of its own."""
    users = np.concatenate([trial.queries.user_row for trial in trials]).astype(np.int64)
    strangers = users < 0
    users[strangers] = -1 - np.arange(strangers.sum())
    known, unit = np.unique(users, return_inverse=True)
    return unit.astype(np.int64), len(known)


def rankable_scores(scorer: Scorer, trial: Trial, queries: Queries, place: slice) -> Floats:
    """Scores of the whole catalogue, NaN for what the trial does not allow to recommend.

    Seen items, hidden items and items that are no candidates are left out as the trial says; an
    infinite score is no score.

    Args:
        scorer: The model.
        trial: Its rules apply.
        queries: The requests ``place`` of ``trial.queries``.
        place: Where they lie.

    Returns:
        Shape ``(n, n_items)``, the caller's to change.
    """
    scores = scorer.score_batch(queries)
    if scores.shape != (len(queries), queries.n_items):
        raise ValueError(
            f"{scorer.name} gave scores of shape {scores.shape}; "
            f"{len(queries):,} requests and {queries.n_items:,} items need ({len(queries)}, {queries.n_items})"
        )
    with np.errstate(over="ignore"):  # what is too large for single precision becomes infinite
        scores = np.array(scores, dtype=np.float32)  # a copy: models may hand out their own memory
    scores[np.isinf(scores)] = np.nan  # as in lists that are blended: no score
    if trial.exclude_seen:
        scores[queries.owner, queries.item_row] = np.nan
    if trial.hidden is not None:
        hidden = trial.hidden[place].tocoo()
        scores[hidden.coords] = np.nan
    if trial.candidates is not None:
        scores[:, ~trial.candidates] = np.nan
    return scores


def ranked_lists(scorer: Scorer, trial: Trial, k: int, max_cells: int = 8_000_000) -> Rows:
    """The k best items for every request of a trial; ties are ordered by row.

    Args:
        scorer: The model.
        trial: What is asked and allowed.
        k: Length of the lists.
        max_cells: Scores held at once (requests × items).

    Returns:
        Shape ``(n, k)``, -1 where fewer than k items can be recommended.
    """
    size = max(1, max_cells // trial.queries.n_items)
    lists = np.empty((len(trial.queries), k), dtype=np.int32)
    for place, queries in trial.queries.batches(size):
        lists[place] = top_k(rankable_scores(scorer, trial, queries, place), k)
    return lists


def judge(trial: Trial, scorers: Sequence[Scorer], config: EvaluationConfig) -> Judged:
    """Rank and judge every model on every request of a trial."""
    facts = ItemFacts.of(trial.train)
    relevant = Csr(trial.relevant)
    relevant.sort_indices()
    n, n_items = len(trial.queries), trial.queries.n_items
    values = np.empty((n, len(scorers), len(config.per_request)))
    found = np.empty((relevant.nnz, len(scorers)), dtype=np.bool_)
    exposure = np.zeros((len(scorers), len(config.overall), n_items), dtype=np.int64)
    n_tied = np.zeros(len(scorers), dtype=np.int64)
    size = max(1, config.max_cells // n_items)
    with task(f"evaluate {trial.name}", n * len(scorers)) as progress:
        for place, queries in trial.queries.batches(size):
            wanted = Csr(relevant[place])
            entries = slice(int(relevant.indptr[place.start]), int(relevant.indptr[place.stop]))
            for m, scorer in enumerate(scorers):
                with measured(f"score with {scorer.name}"):
                    scores = rankable_scores(scorer, trial, queries, place)
                lists = top_k(scores, config.depth)
                n_tied[m] += _n_tied(scores, lists[:, : split(config.primary)[1]])
                hits, rank = locate(lists, wanted)
                values[place, m] = _metrics(lists, hits, wanted, facts, config)
                found[entries, m] = (rank >= 0) & (rank < config.slice_recall_k)
                for o, metric in enumerate(config.overall):
                    shown = lists[:, : split(metric)[1]]
                    exposure[m, o] += np.bincount(shown[shown >= 0], minlength=n_items)
                progress.advance(len(queries))
    return Judged(values, found, exposure, n_tied)


def _n_tied(scores: Floats, lists: Rows) -> int:
    """Lists where an item left out scores as high as the last one in."""
    full = np.flatnonzero(lists[:, -1] >= 0)
    last = scores[full, lists[full, -1]][:, None]
    inside = np.take_along_axis(scores[full], lists[full].astype(np.int64), axis=1) == last
    return int(((scores[full] == last).sum(axis=1) > inside.sum(axis=1)).sum())


def _metrics(
    lists: Rows, hits: Bools, wanted: Csr, facts: ItemFacts, config: EvaluationConfig
) -> Doubles:
    """Every per-request metric, shape ``(n, n_metrics)``.

    A request answered with an empty list gets 0 in accuracy and counts as not answered.
    """
    n_relevant = np.diff(wanted.indptr).astype(np.int64)
    columns = []
    for metric in config.per_request[:-1]:
        name, k = split(metric)
        if name in ACCURACY_METRICS:
            columns.append(ACCURACY_METRICS[name](hits[:, :k], n_relevant))
        else:
            columns.append(PER_LIST_METRICS[name](lists[:, :k], facts))
    columns.append((lists[:, 0] >= 0).astype(np.float64))
    return np.stack(columns, axis=1)
