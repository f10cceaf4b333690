"""A list turns to what was just liked, within the session."""

import numpy as np
import polars as pl
import pytest
from tests.online.systems import cut, fit, world

from crossfade.data import Dataset
from crossfade.hybrid import HybridModel
from crossfade.online import Answer, Ask, Event, LiveSystem

N_USERS, N_LIKED = 50, 5
MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return world(n_tracks=400)


@pytest.fixture(scope="module")
def model(whole: Dataset) -> HybridModel:
    return fit(cut(whole)[0])


def genre_share(answer: object, genre_of: dict[str, list[str]], genre: str) -> float:
    assert isinstance(answer, Answer)
    return float(np.mean([genre in genre_of[line.item_id] for line in answer.recommendations]))


def test_liking_songs_of_a_genre_brings_more_of_it(whole: Dataset, model: HybridModel) -> None:
    """Of 50 listeners, each likes 5 songs of the genre that their list had least of."""
    now_us = cut(whole)[1] + 60 * MINUTE_US
    genre_of = {
        item: its or [] for item, its in whole.items.select("item_id", "genres").iter_rows()
    }
    genres = whole.items["genres"].explode().drop_nulls().value_counts(sort=True)
    common = genres.filter(pl.col("count") >= 3 * N_LIKED)["genres"].to_list()
    system, gains = LiveSystem(model), []
    users = whole.user_ids.ids.to_list()[:N_USERS]
    for user, before in zip(
        users, system.answer([Ask(u, now_us=now_us) for u in users]), strict=True
    ):
        shares = {genre: genre_share(before, genre_of, genre) for genre in common}
        genre = min(shares, key=lambda one: shares[one])
        songs = [item for item, its in genre_of.items() if genre in its][:N_LIKED]
        liked = [
            Event(song, now_us - (at + 1) * MINUTE_US, "like") for at, song in enumerate(songs)
        ]
        (after,) = system.answer([Ask(user, liked, now_us=now_us)])
        gains.append(genre_share(after, genre_of, genre) - shares[genre])
    assert len(common) >= 3
    assert np.mean(gains) > 0.15, gains
    assert np.mean(np.array(gains) > 0) > 0.8, gains
