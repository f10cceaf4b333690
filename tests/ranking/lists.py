"""Small catalogues and requests for tests of lists."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from crossfade.ranking import Candidates, RankingCatalogue, RankingConfig


def catalogue(
    creators: Sequence[str | None] | None = None,
    genres: Sequence[Sequence[str] | None] | None = None,
    n: int | None = None,
    **columns: Any,
) -> RankingCatalogue:
    """Items 0 … n - 1 with creators and genres where they are given."""
    length = n if n is not None else len(creators or genres or ())
    frame: dict[str, Any] = {"item_id": [f"item{row:03}" for row in range(length)]}
    schema: dict[str, Any] = {}
    if creators is not None:
        frame["creator"], schema["creator"] = creators, pl.String
    if genres is not None:
        frame["genres"], schema["genres"] = genres, pl.List(pl.String)
    return RankingCatalogue(pl.DataFrame({**frame, **columns}, schema_overrides=schema))


def scored(*scores: float, **more: Any) -> Candidates:
    """Items 0, 1, 2, … with these scores."""
    arrays = {name: np.asarray(values, dtype=np.float32) for name, values in more.items()}
    return Candidates(
        item_row=np.arange(len(scores), dtype=np.int32),
        score=np.asarray(scores, dtype=np.float32),
        **arrays,
    )


def rows(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, dtype=np.int32)


def shuffled(candidates: Candidates, order: Sequence[int]) -> Candidates:
    """The same candidates in another order."""

    def moved(values: Any) -> Any:
        return None if values is None else values[list(order)]

    return Candidates(
        moved(candidates.item_row),
        moved(candidates.score),
        moved(candidates.probability),
        moved(candidates.uncertainty),
        moved(candidates.vectors),
    )


N_ITEMS = 12


@st.composite
def worlds(draw: st.DrawFn) -> tuple[RankingCatalogue, Candidates]:
    """A catalogue of twelve items, some of them candidates with few different scores, so with ties."""
    creators = draw(
        st.lists(st.sampled_from(["a", "b", "c", None]), min_size=N_ITEMS, max_size=N_ITEMS)
    )
    genre = st.one_of(st.none(), st.lists(st.sampled_from("xyz"), max_size=2, unique=True))
    genres = draw(st.lists(genre, min_size=N_ITEMS, max_size=N_ITEMS))
    item_rows = draw(st.permutations(range(N_ITEMS)))[: draw(st.integers(0, N_ITEMS))]
    n = len(item_rows)
    numbers = st.one_of(st.integers(0, 4).map(lambda i: i / 4), st.just(np.nan))

    def column() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.array(draw(st.lists(numbers, min_size=n, max_size=n)), dtype=np.float32)

    vectors = None
    if draw(st.booleans()):
        coordinates = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
        vectors = np.array(
            draw(st.lists(coordinates, min_size=n, max_size=n)), dtype=np.float32
        ).reshape(n, 2)
    candidates = Candidates(
        item_row=np.array(item_rows, dtype=np.int32),
        score=column(),
        probability=column() if draw(st.booleans()) else None,
        uncertainty=column() if draw(st.booleans()) else None,
        vectors=vectors,
    )
    # One genre at least, so that diversity has something to go by.
    return catalogue(creators, [*genres[:-1], ["x"]]), candidates


SHARES = st.sampled_from([0.0, 0.2, 0.5, 1.0])
CONFIGS = st.builds(
    RankingConfig,
    max_per_creator=st.integers(0, 3),
    max_genre_share=st.sampled_from([0.1, 0.34, 0.5, 1.0]),
    min_probability=st.sampled_from([0.0, 0.5]),
    relax=st.permutations(["max_genre_share", "max_per_creator", "min_probability"]).map(tuple),
    diversity=SHARES,
    diversify=st.sampled_from(["mmr", "dpp"]),
    calibrated=SHARES,
    pool=st.integers(1, 15),
    explore=SHARES,
)
