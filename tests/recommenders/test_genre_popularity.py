from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries, Taste
from crossfade.recommenders.genre_popularity import GenrePopularity, GenrePopularityConfig

# Plays: a 4 and b 2 (jazz), c 3 and d 1 (rock), e 2 (no label); f is rock and unplayed.
PLAYS = {"a": 4, "b": 2, "c": 3, "d": 1, "e": 2}
A, B, C, D, E, F, G = range(7)
GENRES = {
    "a": ["jazz"],
    "b": ["jazz"],
    "c": ["rock"],
    "d": ["rock"],
    "e": None,
    "f": ["rock"],
    "g": None,
}


def log() -> Dataset:
    pairs = [(f"u{n}", item) for item, count in PLAYS.items() for n in range(count)]
    events = pl.DataFrame(pairs, ["user_id", "item_id"], orient="row")
    items = pl.DataFrame({"item_id": list(GENRES), "genres": list(GENRES.values())})
    return Dataset.build(events, items)


def model(**settings: float) -> GenrePopularity:
    return GenrePopularity(GenrePopularityConfig.model_validate(settings)).fit(log())


def stating(query: Queries, *genres: str) -> Queries:
    return replace(query, tastes=(Taste(genres),))


# Every item starts with a tenth of the mean popularity in its genres: jazz (4 + 2) / 2 = 3,
# rock (3 + 1) / 2 = 2; in units of the most popular item, 4 + 0.3.
POPULARITY = np.array([4.3, 2.3, 3.2, 1.2, 2.0, 0.2]) / 4.3
JAZZ = 6.6 / (6.6 + 4.6)


def test_with_nothing_known_it_is_plain_popularity() -> None:
    scores = model().score_batch(Queries.of_items([], 7))[0]
    np.testing.assert_allclose(scores[:6], POPULARITY, rtol=1e-5)
    assert np.isnan(scores[G])  # neither labels nor plays


def test_a_history_lifts_its_genres_by_hand() -> None:
    # Two jazz items against a prior of two events: p(jazz) = (2 + 2 q) / 4.
    scores = model(prior_events=2.0).score_batch(Queries.of_items([A, B], 7))[0]
    jazz, rock = (2 + 2 * JAZZ) / 4 / JAZZ, 0.5
    np.testing.assert_allclose(
        scores[:6], POPULARITY * [jazz, jazz, rock, rock, 1, rock], rtol=1e-5
    )


def test_the_labelled_mass_is_the_same_for_everybody() -> None:
    fitted = model()
    for liked in ([], [A], [C, D], [A, C, E]):
        scores = fitted.score_batch(Queries.of_items(liked, 7))[0]
        assert scores[[A, B, C, D, F]].sum() == pytest.approx(
            POPULARITY[[0, 1, 2, 3, 5]].sum(), rel=1e-5
        )


def test_events_take_over_gradually() -> None:
    fitted = model(prior_events=3.0)
    ratios = []
    for n in range(4):
        scores = fitted.score_batch(stating(Queries.of_items([C] * n, 7), "jazz"))[0]
        ratios.append(scores[C] / scores[A])
    assert ratios == sorted(ratios)


def test_a_stated_genre_is_a_mask_over_the_population() -> None:
    scores = model(beyond_taste=0.1).score_batch(stating(Queries.of_items([], 7), "ROCK"))[0]
    rock = 1 - JAZZ
    lift = (0.9 + 0.1 * rock) / rock
    np.testing.assert_allclose(scores[:6], POPULARITY * [0.1, 0.1, lift, lift, 1, lift], rtol=1e-5)


def test_two_stated_genres_share_as_the_population_does() -> None:
    fitted, nobody = model(), Queries.of_items([], 7)
    both = fitted.score_batch(stating(nobody, "rock", "jazz"))[0]
    np.testing.assert_allclose(both, fitted.score_batch(nobody)[0], rtol=1e-5)


def test_an_unknown_genre_changes_nothing() -> None:
    fitted, nobody = model(), Queries.of_items([], 7)
    polka = fitted.score_batch(stating(nobody, "polka"))
    np.testing.assert_array_equal(polka, fitted.score_batch(nobody))


def test_old_events_fade() -> None:
    events = (
        pl.DataFrame({"user_id": ["u", "v", "w"], "item_id": ["a", "a", "b"], "days": [0, 0, 90]})
        .with_columns(timestamp=pl.datetime(2024, 1, 1) + pl.duration(days="days"))
        .drop("days")
    )
    items = pl.DataFrame({"item_id": ["a", "b"], "genres": [["x"], ["x"]]})
    fitted = GenrePopularity(GenrePopularityConfig(half_life_days=90.0, unplayed_share=1e-6)).fit(
        Dataset.build(events, items)
    )
    # Two plays one half-life ago weigh as much as one now.
    np.testing.assert_allclose(fitted.score_batch(Queries.of_items([], 2))[0], [1, 1], rtol=1e-4)


def test_evidence_is_the_nearest_item_by_labels() -> None:
    near = model().score(Queries.of_items([A], 7), [B, C, E]).evidence[:, 2]
    np.testing.assert_array_equal(near, [1, 0, np.nan])


def test_without_labels_it_scores_nothing_and_says_so() -> None:
    data = Dataset.build(pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"]}))
    fitted = GenrePopularity().fit(data)
    assert np.isnan(fitted.score_batch(data.queries([0, 1]))).all()
    assert fitted.notices == (
        "genre_popularity: the catalogue has no genres or moods, so it scores nothing",
    )
    assert model().notices == ()
