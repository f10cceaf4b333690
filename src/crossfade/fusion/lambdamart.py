"""Boosted trees that order candidates by everything there is: LightGBM's LambdaMART."""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from crossfade.config import Field, Settings
from crossfade.errors import MissingExtraError
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import ByBase
from crossfade.fusion.forest import Forest
from crossfade.fusion.matrix import (
    check_validation,
    fitted,
    item_context,
    quality,
    scaled,
    user_context,
    wanted_lists,
    without_weights,
)
from crossfade.fusion.trees import LeafAccount
from crossfade.threads import n_threads
from crossfade.types import Arrays, Doubles, Floats, Ints

_ROWS_AT_ONCE = 100_000
"""Candidates whose features are put together at once."""

_ROWS_PER_THREAD = 20_000
"""Candidates that keep a thread busy for longer than it takes to start: one list is no work to share out."""

_METRIC = "list_ndcg"


class LambdaMARTConfig(Settings):
    """The search: every number of leaves with every least leaf size, and what is common to all."""

    leaves: tuple[int, ...] = Field(
        (7, 15, 31), min_length=1, description="Most leaves of a tree; each is tried."
    )
    min_data: tuple[int, ...] = Field(
        (50, 200), min_length=1, description="Fewest candidates in a leaf; each is tried."
    )
    learning_rate: float = Field(0.05, gt=0, description="What each tree is shrunk by.")
    feature_fraction: float = Field(
        0.5, gt=0, le=1, description="Share of the columns that each tree may use."
    )
    lambda_l2: float = Field(10.0, ge=0, description="L2 penalty on the leaves.")
    max_trees: int = Field(500, ge=1, description="Most trees.")
    patience: int = Field(
        30, ge=1, description="Stop after this many trees without a better validation NDCG@10."
    )


class LambdaMART(FusionModel[LambdaMARTConfig]):
    """Gradient boosted trees on z scores, reciprocal ranks and all columns of items and users.

    Missing values stay missing. Learns from requests with a wanted candidate that a base can
    score. The setting and the number of trees with the best validation NDCG@10 are kept. Trees
    do not weigh bases: `Fused.weights` is NaN throughout. Where no base can score, so is the
    score. Needs the extra ``boost``.

    Source:
        Burges (2010), "From RankNet to LambdaRank to LambdaMART: An Overview"; Ke et al. (2017),
        "LightGBM".
    """

    name = "lambdamart"
    Config = LambdaMARTConfig

    _text: str | None = None
    _booster: Any = None
    _forest: Forest | None = None
    _account: tuple[Any, LeafAccount | None] | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Score a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the signals lack reciprocal ranks or context it was fitted with.
        """
        booster = fitted(self._booster, self.name)
        self.check(signals)
        rows = signals.scored
        score = np.full(rows.shape, np.nan)
        if rows.any():
            score[rows] = np.concatenate([self._sum(booster, X) for X in features(signals)])
        return without_weights(score, signals)

    def _sum(self, booster: Any, X: Floats) -> Doubles:
        if self._forest is not None:
            return self._forest.predict(X)
        score: Doubles = booster.predict(X, num_threads=_threads_for(X))
        return score

    def _by_base(self, signals: Signals, fused: Fused, places: Ints) -> ByBase:  # noqa: ARG002
        """Shapley values of the trees, for these candidates alone.

        A base's own columns are its score, its rank and its record with who asks. The record is
        the same for all candidates of a request, so it lifts none of them above the others.

        Source:
            Lundberg et al. (2020), "From local explanations to global understanding with
            explainable AI for trees", algorithm 2.
        """
        shown = _only(signals, places)
        n_bases, n_item = shown.score.shape[2], len(self.columns.item)
        told = np.zeros((len(places), 2 * n_bases + n_item + len(self.columns.user) + 1))
        rows = shown.available[0].any(axis=-1)
        if rows.any():
            (X,) = features(shown)
            told[rows] = self._shapley(X)
        own = told[:, :n_bases] + told[:, n_bases : 2 * n_bases]
        base = own.copy()
        for place, label in enumerate(self.columns.bases):
            if f"track_{label}" in self.columns.user:
                column = self.columns.user.index(f"track_{label}")
                base[:, place] += told[:, 2 * n_bases + n_item + column]
        return ByBase(base, own)

    def _shapley(self, X: Floats) -> Doubles:
        """What each column brought, and the mean; leaf by leaf where the trees are of the plain kind."""
        booster = fitted(self._booster, self.name)
        kept = self._account  # with the trees it belongs to: read and written at once
        if kept is None or kept[0] is not booster:
            kept = self._account = (booster, LeafAccount.of(booster.dump_model()))
        if kept[1] is not None:
            return kept[1].shapley(X)
        told: Doubles = booster.predict(X, pred_contrib=True, num_threads=_threads_for(X))
        return told

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        library = lightgbm()
        self.check(validation.signals)
        check_validation(validation, self.name)
        here, there = wanted_lists(train, self.name), wanted_lists(validation, self.name)
        common = {
            "objective": "lambdarank",
            "metric": "None",
            "learning_rate": self.config.learning_rate,
            "feature_fraction": self.config.feature_fraction,
            "lambda_l2": self.config.lambda_l2,
            "seed": int(rng.integers(2**31)),
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,  # one binning serves every least leaf size
            "num_threads": n_threads(),
            "verbosity": -1,
        }
        lists = _lists(library, here, common)
        held_out = _lists(library, there, common, lists)
        best: tuple[float, str] | None = None
        for leaves, min_data in product(self.config.leaves, self.config.min_data):
            booster = library.train(
                {**common, "num_leaves": leaves, "min_data_in_leaf": min_data},
                lists,
                self.config.max_trees,
                valid_sets=[held_out],
                feval=_ndcg_of(there),
                callbacks=[library.early_stopping(self.config.patience, verbose=False)],
            )
            found = booster.best_score["valid_0"][_METRIC]
            if best is None or found > best[0]:
                best = (found, booster.model_to_string(num_iteration=booster.best_iteration))
        assert best is not None, "there is always a setting"
        self._load(best[1])

    def _load(self, text: str) -> None:
        # Always from text, so that a fitted model and a restored one are the same to the last bit,
        # and without the number of threads, the one thing in it that is not of the model.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", text)
        self._text, self._booster = text, lightgbm().Booster(model_str=text)
        self._forest = Forest.of(self._booster.dump_model())

    def _state(self) -> Arrays:
        text = fitted(self._text, self.name)
        return {"trees": np.frombuffer(text.encode(), dtype=np.uint8)}

    def _restore(self, state: Arrays) -> None:
        self._load(state["trees"].tobytes().decode())


def lightgbm() -> Any:
    """The module, imported when it is first needed.

    Raises:
        MissingExtraError: If the extra ``boost`` is not installed.
    """
    try:
        return importlib.import_module("lightgbm")
    except ModuleNotFoundError as error:
        raise MissingExtraError('fusion "lambdamart"', "boost") from error


def features(signals: Signals) -> Iterator[Floats]:
    """Everything known of the candidates that some base can score, some requests at once.

    Yields:
        Shape ``(n, 2 S + Ci + Cu)``: z scores, reciprocal ranks, item columns, user columns.
    """
    step = max(1, _ROWS_AT_ONCE // max(1, signals.mask.shape[1]))
    for part in signals.pieces(step):
        rows = part.scored
        columns = [part.score[rows], scaled(part, "reciprocal_rank", LambdaMART.name)[rows]]
        if part.columns.item:
            columns.append(item_context(part, LambdaMART.name)[rows])
        if part.columns.user:
            columns.append(user_context(part, LambdaMART.name)[np.nonzero(rows)[0]])
        if rows.any():
            yield np.concatenate(columns, axis=1)


def _threads_for(X: Floats) -> int:
    return max(1, min(n_threads(), len(X) // _ROWS_PER_THREAD))


def _only(signals: Signals, places: Ints) -> Signals:
    """The same requests with some of their candidates."""

    def part(array: Any) -> Any:
        return None if array is None else array[:, places]

    return replace(
        signals,
        score=signals.score[:, places],
        mask=signals.mask[:, places],
        reciprocal_rank=part(signals.reciprocal_rank),
        item=part(signals.item),
    )


def _lists(
    library: Any, labelled: LabelledSignals, settings: dict[str, Any], reference: Any = None
) -> Any:
    rows = labelled.signals.scored
    return library.Dataset(
        np.concatenate(list(features(labelled.signals))),
        labelled.relevant[rows].astype(np.float32),
        group=rows.sum(axis=1),
        reference=reference,
        params=settings,
        free_raw_data=True,
    )


def _ndcg_of(labelled: LabelledSignals) -> Callable[[Doubles, Any], tuple[str, float, bool]]:
    """The house's NDCG, for which a wanted item outside the candidates is a miss."""
    rows = labelled.signals.scored

    def judge(predicted: Doubles, _: Any) -> tuple[str, float, bool]:
        score = np.full(rows.shape, np.nan, dtype=np.float32)
        score[rows] = predicted
        return _METRIC, quality(score, labelled), True

    return judge
