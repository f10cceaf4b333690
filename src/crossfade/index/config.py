"""Settings of the index."""

from typing import Literal

from crossfade.config import Field, Settings


class IndexConfig(Settings):
    """How nearest items are found, and how much may be lost by it."""

    kind: Literal["auto", "exact", "faiss"] = Field(
        "auto",
        description='Search every vector ("exact"), or some lists of an inverted file ("faiss", needs the extra '
        '`ann`); "auto" takes faiss from `exact_below` vectors on.',
    )
    exact_below: int = Field(
        100_000, ge=1, description='Number of vectors from which on "auto" takes faiss.'
    )
    storage: Literal["float32", "float16", "pq"] = Field(
        "float32",
        description='How vectors are held: 4 or 2 bytes a number, or product quantisation ("pq", needs the extra '
        "`ann`) at `pq_bytes` a vector.",
    )
    pq_bytes: int = Field(
        32, ge=1, description='Bytes a vector under "pq"; must divide the width of the vectors.'
    )
    max_rank_change: float = Field(
        1.0,
        ge=0,
        description="Most places that the true best `recall_k` items may move on average because of `storage`; "
        "a build that measures more is refused.",
    )
    target_recall: float = Field(
        0.97,
        gt=0,
        le=1,
        description="Share of the true best `recall_k` that faiss is tuned to find, two standard errors above it "
        "on queries held aside for tuning; a build that cannot is refused.",
    )
    recall_k: int = Field(
        100, ge=1, description="Length of the lists that recall and rank changes are measured on."
    )
    n_queries: int = Field(
        400,
        ge=2,
        description="Queries drawn to measure with; faiss is tuned on one half and judged on the other.",
    )
    n_lists: int | None = Field(
        None,
        ge=1,
        description="How many lists; unset: the power of two nearest to the root of their count.",
    )
