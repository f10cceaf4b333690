"""The peer of `two_stage`: a RecTools pipeline; `two_stage` starts it with an interpreter that has RecTools.

    events ──all but the last stretch──► candidate generators ──► candidates of who asks in that stretch
           ──the last stretch──► which of them were wanted ──► LightGBM re-ranker
           ──all──► candidate generators again ──► recommend

Users and items are numbers, which pandas joins faster than text. The classes add what the library leaves to
its users (features, the call of LightGBM) and mend what is wrong for these data (what is seen counts as
wanted, people without a history are an error) or slow (features by joins, a sort per user).
"""

import itertools
import json
import pickle
import sys
import time
import warnings
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import TimeRangeSplitter
from rectools.models import (
    EASEModel,
    ImplicitALSWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularModel,
    PureSVDModel,
)
from rectools.models.ranking import (
    CandidateFeatureCollector,
    CandidateGenerator,
    CandidateRankingModel,
    PerUserNegativeSampler,
    Reranker,
)
from scipy.sparse import csr_matrix

from benchmarks.turns import play

N_CANDIDATES, N_NEGATIVES, MAX_EASE_ITEMS, SEED = 100, 50, 6_000, 0
GRID = {
    "num_leaves": (7, 4, 15),
    "n_estimators": (100, 50),
    "learning_rate": (0.05, 0.02, 0.1),
}
"""Settings of the re-ranker that are tried; the first of each where nothing is tuned."""

USER, ITEM, WEIGHT, TIME = Columns.User, Columns.Item, Columns.Weight, Columns.Datetime
DAY, HOUR = pd.Timedelta("1D"), pd.Timedelta("1h")


class Features(CandidateFeatureCollector):
    """What is known at the end of a log: of its users, of its items, of users and creators."""

    def __init__(self, items: pd.DataFrame, n_users: int) -> None:
        self.items, self.n_users = items, n_users
        self.creator = items["creator"].to_numpy()  # -1 is none
        self.dataset: Dataset | None = None

    def collect_features(self, useritem: Any, dataset: Dataset, fold_info: Any) -> Any:  # noqa: ARG002
        """The candidates with their features, looked up by number."""
        if dataset is not self.dataset:
            self.users, self.known, self.liked = self._tables(dataset.get_raw_interactions())
            self.dataset = dataset
        user, item = useritem[USER].to_numpy(), useritem[ITEM].to_numpy()
        found = {name: column.to_numpy()[user] for name, column in self.users.items()}
        found |= {name: column.to_numpy()[item] for name, column in self.known.items()}
        found["same_creator"] = np.asarray(self.liked[user, self.creator[item]]).ravel()
        return useritem.assign(**found)

    def _tables(self, log: pd.DataFrame) -> tuple[Any, Any, Any]:
        end = log[TIME].max()
        users = _activity(log, USER, end).reindex(range(self.n_users))
        items = _activity(log, ITEM, end).reindex(range(len(self.items)))
        for days in (7, 30, 90):
            lately = log[log[TIME] >= end - days * DAY]
            items[f"wanted_{days}"] = lately.groupby(ITEM)[WEIGHT].sum()
        items["age"] = (end - self.items["released"]) / DAY
        wanted = log[log[WEIGHT] > 0]
        creator = self.creator[wanted[ITEM]]
        who, creator = wanted[USER].to_numpy()[creator >= 0], creator[creator >= 0]
        # One column more than there are creators: it is empty, and -1 finds it.
        shape = (self.n_users, self.creator.max() + 2)
        liked = csr_matrix((np.ones(len(who)), (who, creator)), shape=shape)
        return users, items, liked


def _activity(log: pd.DataFrame, by: str, end: pd.Timestamp) -> pd.DataFrame:
    """Events, share of them wanted, and days since the first and the last, by user or item."""
    found = log.groupby(by).agg(
        n=(WEIGHT, "size"), wanted=(WEIGHT, "mean"), first=(TIME, "min"), last=(TIME, "max")
    )
    found[["first", "last"]] = (end - found[["first", "last"]]) / DAY
    return found.add_prefix(f"{by}_")


class Ranker(Reranker):
    """LightGBM, told whose candidates belong together."""

    def prepare_fit_kwargs(self, candidates_with_target: Any) -> dict[str, Any]:
        """As the library has it, with the groups."""
        ordered = candidates_with_target.sort_values(USER, kind="stable")
        groups = ordered.groupby(USER, sort=False).size().to_numpy()
        return {**super().prepare_fit_kwargs(ordered), "group": groups}

    @classmethod
    def recommend(cls, scored_pairs: Any, k: int, add_rank_col: bool = True) -> Any:  # noqa: ARG003
        """The best of each user by one sort; the library sorts user by user."""
        order = np.lexsort((-scored_pairs[Columns.Score], scored_pairs[USER]))
        ordered = scored_pairs.iloc[order]
        ordered = ordered.assign(**{Columns.Rank: ordered.groupby(USER).cumcount() + 1})
        return ordered[ordered[Columns.Rank] <= k]


class TwoStage(CandidateRankingModel):
    """Learns from what was wanted, not from all that was seen, and from people without a history too."""

    def split_to_history_dataset_and_train_targets(
        self, dataset: Dataset, splitter: Any
    ) -> tuple[Dataset, Any, Any]:
        """As the library has it, without what was not wanted."""
        history, targets, fold = super().split_to_history_dataset_and_train_targets(
            dataset, splitter
        )
        return history, targets[targets[WEIGHT] > 0], fold

    def _get_candidates_from_first_stage(self, *args: Any, **named: Any) -> Any:
        return super()._get_candidates_from_first_stage(
            *args, **{**named, "on_unsupported_targets": "ignore"}
        )

    def candidates(self, users: Any, dataset: Dataset) -> Any:
        """Those of generators fitted on a whole log."""
        self._fit_candidate_generators(dataset, for_train=False)
        return self._get_candidates_from_first_stage(
            users=users, dataset=dataset, filter_viewed=True, for_train=False
        )


class Task:
    """What the peer is told: a log, a catalogue, who asks, and where the log's last two blocks begin."""

    def __init__(self, folder: Path, n_threads: int) -> None:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        self.events = pd.read_parquet(folder / "events.parquet")
        self.items = pd.read_parquet(folder / "items.parquet")
        self.users = pd.read_parquet(folder / "users.parquet")[USER].to_numpy()
        self.fuse, self.calibrate = (pd.Timestamp(cut) for cut in facts["cuts"])
        self.n_users, self.tune, self.k = facts["n_users"], facts["tune"], facts["k"]
        self.n_threads = n_threads

    def pipeline(self, events: pd.DataFrame, since: pd.Timestamp, settings: Any) -> TwoStage:
        """Not yet fitted; the re-ranker will learn from the events at or after a time."""
        hours = int(np.ceil((events[TIME].max() + HOUR - since) / HOUR))
        return TwoStage(
            [CandidateGenerator(model, N_CANDIDATES, True, True) for model in self.generators()],
            TimeRangeSplitter(f"{hours}H", filter_cold_users=False),
            Ranker(self.ranker(settings)),
            PerUserNegativeSampler(N_NEGATIVES, SEED),
            Features(self.items, self.n_users),
        )

    def generators(self) -> list[Any]:
        """The library's counterparts of crossfade's bases, with what served best on calibrate blocks."""
        n, days = self.n_threads, (30, 180)
        als = AlternatingLeastSquares(
            64, regularization=50.0, alpha=10.0, num_threads=n, random_state=SEED
        )
        models = [
            *(PopularModel("sum_weight", period=timedelta(days=period)) for period in days),
            PopularModel("sum_weight"),
            ImplicitItemKNNWrapperModel(BM25Recommender(K=100, num_threads=n)),
            PureSVDModel(32, random_state=SEED, recommend_n_threads=n),
            ImplicitALSWrapperModel(als),
        ]
        if len(self.items) <= MAX_EASE_ITEMS:
            models.append(EASEModel(200.0, recommend_n_threads=n))
        return models

    def ranker(self, settings: Any) -> lightgbm.LGBMRanker:
        """Boosted trees with the loss of LambdaMART."""
        return lightgbm.LGBMRanker(**settings, n_jobs=self.n_threads, random_state=SEED, verbose=-1)

    def settings(self) -> dict[str, Any]:
        """Those of the grid with the best NDCG@10 on the calibrate block, learned on the fuse block."""
        grid = [
            dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())
        ]
        if not self.tune:
            return grid[0]
        past = self.events[self.events[TIME] < self.calibrate]
        later = self.events[(self.events[TIME] >= self.calibrate) & (self.events[WEIGHT] > 0)]
        wanted = _new(later[Columns.UserItem], past[Columns.UserItem])
        dataset, model = Dataset.construct(past), self.pipeline(past, self.fuse, grid[0])
        train = model.get_train_with_targets_for_reranker(dataset)
        candidates = model.candidates(wanted[USER].unique(), dataset)
        features = model.feature_collector.collect_features(candidates, dataset, None)

        def worth(settings: dict[str, Any]) -> float:
            model.reranker.model = self.ranker(settings)
            model.reranker.fit(train)
            scores = {Columns.Score: model.reranker.predict_scores(features)}
            pairs = candidates[Columns.UserItem].assign(**scores)
            return _ndcg(Ranker.recommend(pairs, 10), wanted)

        return max(grid, key=worth)


def _new(pairs: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """The pairs that nobody has seen, each once."""
    joined = pairs.drop_duplicates().merge(seen.drop_duplicates(), "left", indicator=True)
    return joined.loc[joined["_merge"] == "left_only", Columns.UserItem]


def _ndcg(lists: pd.DataFrame, wanted: pd.DataFrame) -> float:
    """Mean NDCG@10 over the users who wanted anything."""
    n_wanted = wanted.groupby(USER).size()
    hits = lists.merge(wanted)
    gain = (1 / np.log2(hits[Columns.Rank] + 1)).groupby(hits[USER]).sum()
    ideal = np.cumsum(1 / np.log2(np.arange(2, 12)))[n_wanted.clip(upper=10) - 1]
    return float((gain.reindex(n_wanted.index, fill_value=0) / ideal).mean())


def main() -> None:
    warnings.filterwarnings("ignore")  # of pandas about the library's own calls
    folder, n_threads = Path(sys.argv[1]), int(sys.argv[2])
    task, kept = Task(folder, n_threads), folder / f"fitted-{n_threads}.pickle"
    if not kept.exists():
        began = time.perf_counter()
        settings = task.settings()
        tuned = time.perf_counter()
        dataset = Dataset.construct(task.events)
        model = task.pipeline(task.events, task.calibrate, settings).fit(dataset)
        facts = {
            "tune_s": tuned - began,
            "fit_s": time.perf_counter() - tuned,
            "settings": settings,
            "generators": len(model.cand_gen_dict),
            "version": version("rectools"),
        }
        kept.write_bytes(pickle.dumps((model, dataset, facts)))
    model, dataset, facts = pickle.loads(kept.read_bytes())  # noqa: S301

    def answer() -> Any:
        return model.recommend(task.users, dataset, task.k, filter_viewed=True)

    answer()[[*Columns.UserItem, Columns.Rank]].to_parquet(folder / "lists.parquet")
    play(facts, answer)


if __name__ == "__main__":
    main()
