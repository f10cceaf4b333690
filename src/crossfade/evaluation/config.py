"""Settings of an evaluation."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from crossfade.config import Field, Settings
from crossfade.data.schema import AUDIO_FEATURES

ACCURACY = ("ndcg", "recall", "precision", "map", "mrr", "hr")
"""Judged by what was wanted; in [0, 1], higher is better."""

PER_LIST = ("novelty", "diversity", "popularity")
"""Properties of one recommended list, whatever was wanted."""

OVERALL = ("coverage", "gini")
"""Properties of all lists together; they have no value per user, so no interval."""


class EvaluationConfig(Settings):
    """What is measured, and how sure the intervals are."""

    metrics: tuple[str, ...] = Field(
        (
            "ndcg@10",
            "recall@20",
            "precision@10",
            "map@10",
            "mrr@10",
            "hr@10",
            "coverage@10",
            "gini@10",
            "novelty@10",
            "diversity@10",
            "popularity@10",
        ),
        min_length=1,
        description="Metrics as name@k; names: "
        + ", ".join((*ACCURACY, *PER_LIST, *OVERALL))
        + ".",
    )
    primary: str = Field(
        "ndcg@10", description="Sorts the table and decides comparisons; an accuracy metric above."
    )
    slice_recall_k: int = Field(
        20, ge=1, description="Length of the lists judged in slices of wanted items."
    )
    reference: str | None = Field(
        None,
        description="Model every other one is compared with; unset: popularity, or genre_popularity where "
        "popularity takes no part or answers nothing.",
    )
    level: float = Field(0.95, gt=0, lt=1, description="Confidence level of the intervals.")
    interval: Literal["bca", "percentile"] = Field(
        "bca", description="Bootstrap interval; bca corrects for bias and skew."
    )
    resamples: int = Field(
        1_000, ge=100, description="Bootstrap resamples of the users behind each interval."
    )
    flips: int = Field(
        10_000, ge=100, description="Random sign flips behind each p of the randomisation test."
    )
    history_edges: tuple[int, ...] = Field(
        (1, 5, 20, 100), description="First history length of each slice after the empty one."
    )
    item_age_days: tuple[float, ...] = Field(
        (30.0, 365.0), description="Days since an item's first event that separate age slices."
    )
    guess_draws: int = Field(
        16,
        ge=0,
        description="Draws of every guessed audio value, to see how far guesses move a score; 0 leaves that out, "
        "else at least 9, one more than there are features.",
    )
    n_samples: int = Field(
        4,
        ge=0,
        description="Requests of the test block whose lists the report shows with their reasons; 0 shows none.",
    )
    n_diversity: int = Field(
        300,
        ge=0,
        description="Requests of the test block that are listed at several strengths of diversity, to see what it "
        "costs; 0 leaves that out.",
    )
    max_cells: int = Field(
        8_000_000,
        ge=1,
        description="Scores held at once by one model (requests × items); bounds memory.",
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        names = (*ACCURACY, *PER_LIST, *OVERALL)
        for metric in metrics:
            name, _, k = metric.partition("@")
            if name not in names or not k.isdecimal() or int(k) < 1:
                raise ValueError(
                    f'knows no metric "{metric}"; write name@k with one of {", ".join(names)}'
                )
        if len(set(metrics)) < len(metrics):
            raise ValueError("must name each metric once")
        return metrics

    @field_validator("history_edges", "item_age_days")
    @classmethod
    def _rising(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in zip((0, *edges), edges, strict=False)):
            raise ValueError("must be above 0 and rising")
        return edges

    @field_validator("guess_draws")
    @classmethod
    def _enough(cls, draws: int) -> int:
        if 0 < draws <= len(AUDIO_FEATURES):
            raise ValueError(f"must be 0, or more than the {len(AUDIO_FEATURES)} audio features")
        return draws

    @model_validator(mode="after")
    def _primary_is_measured(self) -> Self:
        if self.primary not in self.metrics or split(self.primary)[0] not in ACCURACY:
            raise ValueError(
                f'primary must be an accuracy metric among metrics, got "{self.primary}"'
            )
        return self

    @property
    def per_request(self) -> tuple[str, ...]:
        """The metrics that every request has a value of, then ``answered``."""
        return (*(m for m in self.metrics if split(m)[0] not in OVERALL), "answered")

    @property
    def overall(self) -> tuple[str, ...]:
        """The metrics that only all lists together have."""
        return tuple(m for m in self.metrics if split(m)[0] in OVERALL)

    @property
    def depth(self) -> int:
        """Length of the lists that must be made."""
        return max(self.slice_recall_k, *(split(m)[1] for m in self.metrics))


def split(metric: str) -> tuple[str, int]:
    """Name and k of ``name@k``."""
    name, _, k = metric.partition("@")
    return name, int(k)
