"""Feature-weighted linear stacking: the weight of each base is linear in what is known."""

from collections.abc import Iterator

import numba
import numpy as np

from crossfade.config import Field, Settings
from crossfade.context.scaling import ContextScaler
from crossfade.errors import DataError
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import (
    best_on,
    fitted,
    item_context,
    normal_equations,
    ridge,
    user_context,
    wanted_lists,
    without_weights,
)
from crossfade.types import Arrays, Bools, Doubles, Floats


class FWLSConfig(Settings):
    """Which meta-features and which penalties are tried."""

    user: tuple[str, ...] = Field(
        (
            "log_positives",
            "positive_share",
            "recency",
            "genre_diversity",
            "mainstream_score",
            "log_track_items",
        ),
        description="User columns that may change the weights; absent ones are left out.",
    )
    item: tuple[str, ...] = Field(
        ("log_users", "log_age_days", "log_idle_days", "log_events_30d", "momentum_30d", "completeness",
         "genre_match", "log_creator_events"),
        description="Item columns that may change the weights; absent ones are left out.",
    )  # fmt: skip
    constant_base: bool = Field(
        True,
        description="Add a base that always says 1, so that meta-features also act by themselves.",
    )
    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        min_length=1,
        description="L2 penalties on standardised columns, per row; the best on validation is kept.",
    )


class FWLS(FusionModel[FWLSConfig]):
    """Ridge regression of relevance on every z score times every meta-feature.

    Meta-features are 1 and the listed columns that the signals have, scaled on train; a missing one
    is 0, the median. A missing score is 0. The constant base is our addition: without
    it an item's age could only act through a base. Weights may be negative, so `Fused.weights`
    is NaN throughout. Where no base can score, the score is NaN.

    Source:
        Sill, Takács, Mackey and Lin (2009), "Feature-Weighted Linear Stacking", eq. 4.
    """

    name = "fwls"
    Config = FWLSConfig

    coefficients: Doubles | None = None
    """Intercept, then one per meta-feature within each base; None until fitted."""
    user_scaler: ContextScaler | None = None
    item_scaler: ContextScaler | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Score a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If context that the model was fitted with is missing.
        """
        coefficients = fitted(self.coefficients, self.name)
        self.check(signals)
        user, item = self._meta(signals)
        own, n_meta = coefficients[1:], user.shape[1] + item.shape[2]
        constant = np.zeros(n_meta)
        if self.config.constant_base:
            constant, own = own[:n_meta], own[n_meta:]
        by_base = own.reshape(signals.score.shape[2], 1 + n_meta)
        total = np.full(signals.mask.shape, coefficients[0])
        _add(signals.score, signals.available, user, item, constant, by_base, total)
        return without_weights(total, signals)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:  # noqa: ARG002
        meta, score = self._parts(signals)
        of_base = fitted(self.coefficients, self.name)[-len(score) * (1 + len(meta)) :]
        by_base = of_base.reshape(len(score), 1 + len(meta))
        # Not a matrix product: its rounding depends on the number of threads.
        slope = np.einsum("ml,sm->sl", np.stack(meta)[:, 0], by_base[:, 1:])
        brought: Doubles = ((slope + by_base[:, :1]) * np.stack(score)[:, 0]).T
        return brought

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        if not (self._names("user") or self._names("item")):
            raise DataError(
                f"{self.name} needs one of the columns {', '.join(self.config.user + self.config.item)}; "
                "these signals have none of them; add the context"
            )
        lists = wanted_lists(train, self.name)
        real = lists.signals.scored
        self.user_scaler = ContextScaler.fit(self._user(lists.signals))
        self.item_scaler = ContextScaler.fit(self._item(lists.signals)[real])
        self.coefficients = best_on(validation, self._options(lists), self.name).coefficients

    def _options(self, lists: LabelledSignals) -> Iterator["FWLS"]:
        normal = normal_equations(lists, self._columns)
        for penalty in self.config.penalties:
            option = FWLS(self.config)
            option.columns, option.coefficients = self.columns, ridge(normal, penalty)
            option.user_scaler, option.item_scaler = self.user_scaler, self.item_scaler
            yield option

    def _names(self, kind: str) -> list[str]:
        """The listed columns that there are."""
        given = self.columns.user if kind == "user" else self.columns.item
        listed = self.config.user if kind == "user" else self.config.item
        return [name for name in listed if name in given]

    def _user(self, signals: Signals) -> Floats:
        places = [signals.columns.user.index(name) for name in self._names("user")]
        if not places:
            return np.zeros((len(signals.mask), 0), dtype=np.float32)
        return user_context(signals, self.name)[:, places]

    def _item(self, signals: Signals) -> Floats:
        places = [signals.columns.item.index(name) for name in self._names("item")]
        if not places:
            return np.zeros((*signals.mask.shape, 0), dtype=np.float32)
        return item_context(signals, self.name)[:, :, places]

    def _meta(self, signals: Signals) -> tuple[Floats, Floats]:
        """Meta-features of requests and of candidates, ``(B, M)`` and ``(B, L, M')``."""
        user, _ = fitted(self.user_scaler, self.name).transform(self._user(signals))
        item, _ = fitted(self.item_scaler, self.name).transform(self._item(signals))
        return user, item

    def _parts(self, signals: Signals) -> tuple[list[Doubles], list[Doubles]]:
        """Meta-features, and the scores of the bases, each ``(B, L)``."""
        user, item = self._meta(signals)
        shape = signals.mask.shape
        meta = [np.broadcast_to(column[:, None].astype(np.float64), shape) for column in user.T]
        meta += [item[:, :, place].astype(np.float64) for place in range(item.shape[2])]
        z = np.where(signals.available, signals.score, 0.0)
        return meta, [np.ascontiguousarray(z[:, :, base]) for base in range(z.shape[2])]

    def _columns(self, signals: Signals) -> Iterator[Doubles]:
        """Every base times every meta-feature, each ``(B, L)``."""
        meta, scores = self._parts(signals)
        if self.config.constant_base:
            yield from meta
        for score in scores:
            yield score
            yield from (score * feature for feature in meta)

    def _state(self) -> Arrays:
        return {
            "coefficients": fitted(self.coefficients, self.name),
            **{f"user.{k}": v for k, v in fitted(self.user_scaler, self.name).to_arrays().items()},
            **{f"item.{k}": v for k, v in fitted(self.item_scaler, self.name).to_arrays().items()},
        }

    def _restore(self, state: Arrays) -> None:
        self.coefficients = state["coefficients"].astype(np.float64)
        self.user_scaler, self.item_scaler = (
            ContextScaler.from_arrays({k: state[f"{kind}.{k}"] for k in ("centre", "spread")})
            for kind in ("user", "item")
        )


@numba.njit(cache=True, nogil=True)
def _add(  # noqa: PLR0917  (kernels know no keywords)
    score: Floats,
    there: Bools,
    user: Floats,
    item: Floats,
    constant: Doubles,
    by_base: Doubles,
    total: Doubles,
) -> None:
    """Adds the sum over `FWLS._columns`, with what stands before each base summed first.

    Always in the same order: what is known of the request, which is the same for all its candidates,
    comes first and is summed once.
    """
    n_user, n_bases = user.shape[1], score.shape[2]
    slope = np.empty(n_bases)
    for request in range(score.shape[0]):
        level, common = 0.0, by_base[:, 0].copy()
        for column in range(n_user):
            value = np.float64(user[request, column])
            level += constant[column] * value
            common += by_base[:, 1 + column] * value
        for place in range(score.shape[1]):
            slope[:] = common
            value = total[request, place] + level
            for column in range(item.shape[2]):
                known = np.float64(item[request, place, column])
                value += constant[n_user + column] * known
                for base in range(n_bases):
                    slope[base] += by_base[base, 1 + n_user + column] * known
            for base in range(n_bases):
                if there[request, place, base]:
                    value += slope[base] * score[request, place, base]
            total[request, place] = value
