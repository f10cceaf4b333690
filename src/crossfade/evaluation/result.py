"""What an evaluation found: all values, and where they come from."""

from dataclasses import dataclass

import polars as pl

from crossfade.data.splits import BLOCKS, Plan, Trial
from crossfade.evaluation.config import EvaluationConfig

ESTIMATE = {
    "mean": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
}
SUMMARY_SCHEMA = {"model": pl.String(), "metric": pl.String(), **ESTIMATE}
SLICE_SCHEMA = {
    "family": pl.String(),
    "slice": pl.String(),
    "model": pl.String(),
    "metric": pl.String(),
    **ESTIMATE,
    "best_other": pl.String(),
    "difference": pl.Float64(),
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
}
COMPARISON_SCHEMA = {
    "model": pl.String(),
    "other": pl.String(),
    "against": pl.String(),
    "metric": pl.String(),
    "difference": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p": pl.Float64(),
    "p_holm": pl.Float64(),
    "n": pl.Int64(),
}


@dataclass(frozen=True)
class About:
    """What was asked of the models.

    Attributes:
        dataset: Name of the data set.
        target: What a positive event is called.
        target_rules: The target's settings, JSON-ready.
        protocol: Name of the protocol; None where trials were made by hand.
        protocol_rules: The protocol's settings, JSON-ready.
        blocks: Per block ``n_events`` and ``start`` (ISO 8601; None where every user has a
            cut of their own, and for the first block).
        flags: What a reader must know before trusting the numbers.
        seed: Of the run.
        n_items: Width of the catalogue.
        n_requests: Requests asked of every model.
    """

    dataset: str
    target: str
    target_rules: dict[str, object]
    protocol: str | None
    protocol_rules: dict[str, object]
    blocks: dict[str, dict[str, object]]
    flags: tuple[str, ...]
    seed: int
    n_items: int
    n_requests: int

    @classmethod
    def of(cls, trials: tuple[Trial, ...], plan: Plan | None, seed: int) -> "About":
        """From what was evaluated."""
        train = trials[0].train
        blocks: dict[str, dict[str, object]] = {}
        if plan is not None:
            starts = (None, *plan.cuts) if plan.cuts else (None,) * len(BLOCKS)
            blocks = {
                name: {"n_events": plan.block_sizes[name], "start": start}
                for name, start in zip(BLOCKS, starts, strict=True)
            }
        return cls(
            dataset=train.name,
            target=train.target.name,
            target_rules=train.target.model_dump(mode="json"),
            protocol=None if plan is None else plan.protocol.name,
            protocol_rules={} if plan is None else plan.protocol.model_dump(mode="json"),
            blocks=blocks,
            flags=() if plan is None else plan.flags,
            seed=seed,
            n_items=train.n_items,
            n_requests=sum(len(trial.queries) for trial in trials),
        )


@dataclass(frozen=True)
class Evaluation:
    """All that was measured.

    Attributes:
        about: What was asked.
        config: How it was measured.
        models: Names, in the order given.
        requests: One row per model and request: ``model``, ``trial``, ``request``, ``unit``,
            ``user_row``, ``history_length``, ``n_relevant``, one column per metric, ``answered``.
        users: One row per model and user: ``model``, ``user_id`` (null for strangers),
            ``unit``, ``n_requests`` and the mean of each metric over the user's requests.
        summary: ``model, metric, mean, low, high, n``; n counts users. Coverage and Gini
            belong to all lists together and have no interval.
        slices: ``family, slice, model, metric, mean, low, high, n`` and, for the slice's leading
            metric, the difference to the best other model with its interval.
        comparisons: On the primary metric: every model against the best other one and
            against the reference: ``difference, low, high, p, p_holm, n``.
    """

    about: About
    config: EvaluationConfig
    models: tuple[str, ...]
    requests: pl.DataFrame
    users: pl.DataFrame
    summary: pl.DataFrame
    slices: pl.DataFrame
    comparisons: pl.DataFrame

    @property
    def headline(self) -> str:
        """What was asked, in one line."""
        about = self.about
        return (
            f"{about.dataset}: protocol {about.protocol}, {self.n_users:,} users ask {about.n_requests:,} times, "
            f"{about.n_items:,} items; wanted: {about.target}"
        )

    def __repr__(self) -> str:
        primary = self.config.primary
        means = ", ".join(f"{name} {self.mean(name, primary):.4f}" for name in self.ranking())
        return f"Evaluation({self.headline}; {primary}: {means})"

    @property
    def n_users(self) -> int:
        """Users (and strangers) who asked."""
        return self.users["unit"].n_unique()

    def mean(self, model: str, metric: str) -> float:
        """One mean of the summary."""
        row = self.summary.filter(pl.col("model") == model, pl.col("metric") == metric)
        return float(row["mean"].item())

    def ranking(self) -> list[str]:
        """Models by the primary metric, best first; ties in the order given."""
        return sorted(self.models, key=lambda name: -self.mean(name, self.config.primary))

    def losing_slices(self, model: str) -> pl.DataFrame:
        """Slices of one model on their leading metric, largest loss to the best other one first.

        Rows whose difference is unknown (a single model) come last.
        """
        rows = self.slices.filter(pl.col("model") == model, pl.col("best_other").is_not_null())
        return rows.sort("difference", nulls_last=True, maintain_order=True)
