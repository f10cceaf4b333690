from dataclasses import replace

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries, Taste
from crossfade.recommenders.genre_neighbours import GenreNeighbours, GenreNeighboursConfig

# ann: jazz a, b. bob: jazz c. cid: rock d, e. dot: jazz a, rock d. f is jazz and unplayed.
PLAYS = [
    ("ann", "a"),
    ("ann", "b"),
    ("bob", "c"),
    ("cid", "d"),
    ("cid", "e"),
    ("dot", "a"),
    ("dot", "d"),
]
A, B, C, D, E, F = range(6)


def log() -> Dataset:
    genres = [["jazz"], ["jazz"], ["jazz"], ["rock"], ["rock"], ["jazz"]]
    items = pl.DataFrame({"item_id": list("abcdef"), "genres": genres})
    return Dataset.build(pl.DataFrame(PLAYS, ["user_id", "item_id"], orient="row"), items)


def model(**settings: float) -> GenreNeighbours:
    return GenreNeighbours(GenreNeighboursConfig.model_validate(settings)).fit(log())


# Jazz has 4 of 7 plays, rock 3: a profile is (items / sqrt(4/7), items / sqrt(3/7)).
DOT = np.array([1 / np.sqrt(4 / 7), 1 / np.sqrt(3 / 7)])
DOT_JAZZ = DOT[0] / np.hypot(*DOT)


def test_votes_by_hand_for_somebody_who_shares_no_item() -> None:
    # Likes c, which only bob has: cosines with ann 1, bob 1, cid 0, dot DOT_JAZZ.
    scores = model(shrink=0.0).score_batch(Queries.of_items([C], 6))[0]
    total = 2 + DOT_JAZZ
    votes = [1 + DOT_JAZZ, 1, 1, DOT_JAZZ, 0]
    np.testing.assert_allclose(scores[:5], np.array(votes) / total, rtol=1e-5)
    assert np.isnan(scores[F])


def test_short_histories_are_believed_less() -> None:
    # shrink 2: ann (2 items) 2/4, bob (1) 1/3, dot (2) 2/4 of their cosine.
    scores = model(shrink=2.0).score_batch(Queries.of_items([C], 6))[0]
    similarity = np.array([1 / 2, 1 / 3, DOT_JAZZ / 2])
    np.testing.assert_allclose(scores[B], similarity[0] / similarity.sum(), rtol=1e-5)
    np.testing.assert_allclose(scores[C], similarity[1] / similarity.sum(), rtol=1e-5)


def test_only_the_nearest_vote() -> None:
    scores = model(shrink=0.0, n_neighbours=2).score_batch(Queries.of_items([C], 6))[0]
    np.testing.assert_allclose(scores[:5], [0.5, 0.5, 0.5, 0, 0], rtol=1e-6)


def test_a_stated_genre_makes_a_profile_and_shrinks_with_history() -> None:
    fitted, nobody = model(shrink=0.0), Queries.of_items([], 6)
    stated = replace(nobody, tastes=(Taste(("Jazz",)),))
    np.testing.assert_allclose(
        fitted.score_batch(stated), fitted.score_batch(Queries.of_items([C], 6)), rtol=1e-6
    )
    assert np.isnan(fitted.score_batch(nobody)).all()
    off = GenreNeighbours(GenreNeighboursConfig(taste_events=0.0)).fit(log())
    assert np.isnan(off.score_batch(stated)).all()


def test_evidence_is_the_nearest_person_who_wanted_the_item() -> None:
    near = model(shrink=1.0).score(Queries.of_items([C], 6), [A, C, E, F]).evidence[:, 2]
    # Asking with one item: 1/2; ann 2/3, bob 1/2, cid 0.
    np.testing.assert_allclose(near, [1 / 3, 1 / 4, 0, np.nan], rtol=1e-6)


def test_an_item_nobody_wanted_yet_is_no_evidence() -> None:
    assert np.isnan(model().score_batch(Queries.of_items([F], 6))).all()


def test_without_labels_it_scores_nothing_and_says_so() -> None:
    data = Dataset.build(pl.DataFrame(PLAYS, ["user_id", "item_id"], orient="row"))
    fitted = GenreNeighbours().fit(data)
    assert np.isnan(fitted.score_batch(data.queries([0, 1]))).all()
    assert fitted.notices == (
        "genre_neighbours: the catalogue has no genres or moods, so it scores nothing",
    )


def test_scores_are_shares() -> None:
    rng = np.random.default_rng(0)
    events = pl.DataFrame(
        {
            "user_id": rng.integers(0, 30, 300).astype(str),
            "item_id": rng.integers(0, 40, 300).astype(str),
        }
    )
    names = events["item_id"].unique().sort()
    genres = [[str(g) for g in rng.choice(5, rng.integers(0, 3), replace=False)] for _ in names]
    data = Dataset.build(events, pl.DataFrame({"item_id": names, "genres": genres}))
    scores = GenreNeighbours().fit(data).score_batch(data.queries(range(data.n_users)))
    known = scores[~np.isnan(scores)]
    assert len(known)
    assert known.min() >= 0
    assert known.max() <= 1 + 1e-5
