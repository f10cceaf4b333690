from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossfade.arrays import top_k
from crossfade.data import Dataset, Queries, Taste
from crossfade.recommenders.content import catalogue_words, tag_counts
from crossfade.recommenders.content_knn import ContentKNN, ContentKNNConfig
from crossfade.testing import checkerboard, tiny_catalogue
from crossfade.types import Csr

HETREC = Path(__file__).parents[2] / "../shared/data/lastfm-hetrec2011"
A, B, C, D, E = range(5)
COSINE = {"shrink": 0.0}


def tagged(taggings: list[tuple[str, str, str]], played: list[tuple[str, str]]) -> Dataset:
    items = pl.DataFrame({"item_id": list("abcd")})
    people = {person for person, *_ in [*taggings, *played]}
    return Dataset.build(
        pl.DataFrame(played, ["user_id", "item_id"], orient="row"),
        items,
        pl.DataFrame({"user_id": sorted(people)}),
        taggings=pl.DataFrame(taggings, ["user_id", "item_id", "tag"], orient="row"),
    )


def model(**settings: float | bool) -> ContentKNN:
    return ContentKNN(ContentKNNConfig.model_validate({**COSINE, **settings}))


def test_genres_by_hand() -> None:
    # Genres only: a, b, c are jazz (df 3), d is rock (df 2), e is folk (df 1) and rock.
    genres = model(creator_weight=0, text_weight=0, tag_weight=0).fit(tiny_catalogue())
    scores = genres.score_batch(Queries.of_items([D], 5))[0]
    folk, rock = np.log(6 / 2) + 1, np.log(6 / 3) + 1
    np.testing.assert_allclose(scores, [0, 0, 0, 1, rock / np.hypot(folk, rock)], rtol=1e-5)


def test_each_field_can_be_switched_off() -> None:
    data = tiny_catalogue()
    words = [
        catalogue_words(data, label, creator, text)[0].shape[1]
        for label, creator, text in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    ]
    # jazz, rock, folk; four creators; blue, moon, river, train, green.
    assert words == [3, 4, 5, 12]


def test_an_item_nobody_played_is_scored() -> None:
    data = tiny_catalogue()
    assert data.interactions()[:, [E]].nnz == 0
    scores = model().fit(data).score_batch(Queries.of_items([D], 5))[0]
    assert scores[E] > scores[A]


def test_without_a_description_there_is_no_score() -> None:
    data = tagged([("v", "a", "calm"), ("v", "b", "calm")], [("u", "a"), ("u", "c")])
    content = model().fit(data)
    np.testing.assert_array_equal(
        np.isnan(content.score_batch(Queries.of_items([A], 4))[0]), [False, False, True, True]
    )
    assert np.isnan(content.score_batch(Queries.of_items([C], 4))).all()


def test_tags_count_people_not_repeats() -> None:
    data = tagged(
        [("u", "a", "calm"), ("u", "a", "Calm"), ("v", "a", "calm"), ("v", "b", "calm")],
        [("u", "a")],
    )
    np.testing.assert_array_equal(tag_counts(data).counts.toarray()[:, 0], [2, 1, 0, 0])


def test_shrinking_doubts_short_descriptions() -> None:
    taggings = [("v", "a", "calm"), ("v", "b", "calm")]
    taggings += [(who, "c", "calm") for who in ("v", "w", "x")]
    data = tagged(taggings, [("u", "a")])
    plain = model().fit(data).score_batch(Queries.of_items([A], 4))[0]
    shrunk = model(shrink=5.0).fit(data).score_batch(Queries.of_items([A], 4))[0]
    assert plain[B] == pytest.approx(plain[C])
    assert shrunk[B] < shrunk[C]


def test_nobody_elses_tags_are_taken_for_the_asking_persons() -> None:
    # t, the first to have tagged anything, tagged b first; u only a.
    data = tagged([("t", "b", "x"), ("u", "a", "y"), ("v", "a", "x")], [("t", "c"), ("u", "a")])
    fitted, query = model().fit(data), data.queries([data.user_ids.row("u")])
    found = fitted.attribute(query, [A, B])
    assert found is not None
    np.testing.assert_allclose(found.totals(), fitted.score_batch(query)[0, [A, B]], rtol=1e-6)


def test_a_persons_own_tags_do_not_speak_to_them() -> None:
    # Only u put "mine" on a (played) and b (to be found): for u there is no link between
    # them. Left in, it gives b away. For everybody else the tag is as good as any other.
    taggings = [("u", "a", "mine"), ("u", "b", "mine")]
    taggings += [("v", item, tag) for item, tag in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "z")]]
    data = tagged(taggings, [("u", "a"), ("v", "d")])
    honest = model().fit(data).score_batch(data.queries([0]))[0]
    assert honest[B] == 0
    assert honest[C] > 0
    leaking = model(leave_own_tags_out=False).fit(data).score_batch(data.queries([0]))[0]
    assert leaking[B] > 0
    stranger = model().fit(data).score_batch(Queries.of_items([A], 4))[0]
    np.testing.assert_array_equal(stranger, leaking)


def test_leaving_out_equals_a_data_set_without_the_persons_tags() -> None:
    rng = np.random.default_rng(3)
    people, songs, tags = list("uvwxyz"), list("abcd"), ["t0", "t1", "t2", "t3"]
    taggings = [
        (str(rng.choice(people)), str(rng.choice(songs)), str(rng.choice(tags))) for _ in range(60)
    ]
    played = [
        (person, str(song)) for person in people for song in rng.choice(songs, 2, replace=False)
    ]
    data = tagged(taggings, played)
    content = model().fit(data)
    # Many requests in a row, so that each has another person's tags to forget.
    together = content.score_batch(data.queries(list(range(len(people))) * 20))
    for row, person in enumerate(people):
        without = tagged([tagging for tagging in taggings if tagging[0] != person], played)
        reference = model().fit(without)
        # The weight of a tag as a whole is shared; see the docstring of the model.
        reference._tags.idf[:] = content._tags.idf
        query = data.queries([row])
        expected = np.tile(reference.score_batch(query), (20, 1))
        np.testing.assert_allclose(together[row :: len(people)], expected, atol=1e-6)


def test_later_tags_are_cut_off_with_the_data() -> None:
    events = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "item_id": ["a", "b"],
            "timestamp": [datetime(2024, 1, 1), datetime(2024, 3, 1)],
        }
    )
    taggings = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "item_id": ["a", "b"],
            "tag": ["calm", "calm"],
            "timestamp": [datetime(2024, 1, 1), datetime(2024, 3, 1)],
        }
    )
    data = Dataset.build(events, taggings=taggings).before(datetime(2024, 2, 1, tzinfo=UTC))
    assert tag_counts(data).counts.toarray().ravel().tolist() == [1, 0]


def test_similar_items_share_words() -> None:
    similarity = model().fit(tiny_catalogue()).similar(A)
    assert np.isnan(similarity[A])
    assert np.nanargmax(similarity) == B  # same creator, same genre, one word


def test_evidence_is_the_nearest_item_of_the_history() -> None:
    content = model().fit(tiny_catalogue())
    evidence = content.score(Queries.of_items([A, D], 5), [B]).evidence[0, 2]
    assert evidence == pytest.approx(max(content.similar(A)[B], content.similar(D)[B]))


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not HETREC.is_dir(), reason="shared data set lastfm-hetrec2011 is absent")
def test_own_tags_left_in_give_held_out_plays_away() -> None:
    plays = pl.read_parquet(HETREC / "user_artists.parquet").select(
        pl.col("user_id").cast(pl.String), item_id=pl.col("artist_id").cast(pl.String)
    )
    taggings = pl.read_parquet(HETREC / "tag_assignments.parquet").select(
        pl.col("user_id").cast(pl.String),
        item_id=pl.col("artist_id").cast(pl.String),
        tag=pl.col("tag_id").cast(pl.String),
    )
    data = Dataset.build(plays, taggings=taggings)
    held_out = np.random.default_rng(0).random(data.n_events) < 0.2
    train, test = data.where(pl.Series(~held_out)), data.where(pl.Series(held_out))
    # Held-out plays of artists that the person has tagged: there a leak would show.
    pairs = (taggings_of(data) > 0).astype(np.float32)
    relevant = Csr(test.interactions().multiply(pairs))
    people = np.flatnonzero(np.diff(relevant.indptr))
    queries, wanted = train.queries(people.astype(np.int32)), relevant[people].toarray() > 0

    recall = {}
    for honest in (True, False):
        content = ContentKNN(ContentKNNConfig(leave_own_tags_out=honest)).fit(train)
        scores = content.score_batch(queries).copy()
        scores[queries.seen.toarray() > 0] = np.nan
        best = top_k(scores, 20)
        recall[honest] = np.take_along_axis(wanted, best, axis=1).sum(axis=1) / wanted.sum(axis=1)
    gain = recall[False] - recall[True]
    standard_error = gain.std() / np.sqrt(len(gain))
    assert gain.mean() > 3 * standard_error, (recall[True].mean(), recall[False].mean())
    assert recall[False].mean() > 1.05 * recall[True].mean()


def taggings_of(data: Dataset) -> Csr:
    assert data.taggings is not None
    where = (data.taggings["user_row"].to_numpy(), data.taggings["item_row"].to_numpy())
    ones = np.ones(data.taggings.height, dtype=np.float32)
    return Csr((ones, where), shape=(data.n_users, data.n_items))


def test_with_shuffled_content_nothing_is_found() -> None:
    # The control: if lists stayed good, something else than content would be telling.
    data = checkerboard(40)
    queries = data.queries(range(40))
    shuffled = pl.Series("genres", data.items["genres"].sample(fraction=1, shuffle=True, seed=4))
    places = []
    for content in (data.items["genres"], shuffled):
        known = replace(data, items=data.items.with_columns(content))
        scores = model(text_weight=0).fit(known).score_batch(queries)
        scores[queries.owner, queries.item_row] = np.nan
        own = scores[np.arange(40), np.arange(40)][:, None]
        # Mid-rank of each user's own item among the 22 they have not met, in [0, 1].
        above, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1) - 1
        places.append((above + equal / 2) / 21)
    assert places[0].max() < 0.03
    assert places[1].mean() == pytest.approx(0.5, abs=0.12)


def stating(queries: Queries, *genres: str) -> Queries:
    return replace(queries, tastes=(Taste(genres),))


def test_stated_genres_are_a_profile_of_their_own() -> None:
    genres = model(creator_weight=0, text_weight=0, tag_weight=0).fit(tiny_catalogue())
    nobody = Queries.of_items([], 5)
    assert np.isnan(genres.score_batch(nobody)).all()
    # The same as liking d, whose one genre is rock; polka is unknown.
    np.testing.assert_allclose(
        genres.score_batch(stating(nobody, "Rock", "polka")),
        genres.score_batch(Queries.of_items([D], 5)),
        rtol=1e-6,
    )
    assert np.isnan(genres.score_batch(stating(nobody, "polka"))).all()


def test_stated_genres_add_to_a_history_as_so_many_items() -> None:
    settings = {"creator_weight": 0, "text_weight": 0, "tag_weight": 0, "taste_events": 2.0}
    genres = model(**settings).fit(tiny_catalogue())
    stated = genres.score_batch(stating(Queries.of_items([A], 5), "rock"))[0]
    # One jazz item and two of rock: cosines 1 / sqrt(5) and 2 / sqrt(5).
    np.testing.assert_allclose(stated[[B, D]], np.array([1, 2]) / np.sqrt(5), rtol=1e-5)
    deaf = model(**{**settings, "taste_events": 0.0}).fit(tiny_catalogue())
    np.testing.assert_array_equal(
        deaf.score_batch(stating(Queries.of_items([A], 5), "rock")),
        deaf.score_batch(Queries.of_items([A], 5)),
    )
