"""What friends did, by hand and on a real friend table."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.features.social import REQUESTS_AT_ONCE, SOCIAL, FriendFeatures
from crossfade.types import Floats, Rows

ROOT = Path(__file__).parents[2]
HETREC = ROOT / "../shared/data/lastfm-hetrec2011"
NAN = float("nan")
ANN, BOB, CID, DAN = range(4)
A, B, C = range(3)


def rows(*values: Any) -> Rows:
    return np.array(values, dtype=np.int32)


def log(friends: list[tuple[str, str]] | None, likes: list[tuple[str, str]]) -> Dataset:
    """Likes of four people; everybody also skipped item ``c``, which nobody wants."""
    everybody = ["ann", "bob", "cid", "dan"]
    events = pl.DataFrame(
        {
            "user_id": [user for user, _ in likes] + everybody,
            "item_id": [item for _, item in likes] + ["c"] * 4,
            "event": ["like"] * len(likes) + ["dislike"] * 4,
        }
    )
    items = pl.DataFrame({"item_id": ["a", "b", "c"]})
    pairs = None
    if friends is not None:
        schema = {"user_id": pl.String, "friend_id": pl.String}
        pairs = pl.DataFrame(friends, schema, orient="row")
    return Dataset.build(events, items, friends=pairs)


FRIENDS = [("ann", "bob"), ("ann", "cid"), ("bob", "ann"), ("cid", "dan")]
LIKES = [("bob", "a"), ("bob", "a"), ("cid", "a"), ("cid", "b"), ("ann", "b"), ("dan", "b")]


def features(user: int, *items: int, friends: Any = FRIENDS, likes: Any = LIKES) -> Floats:
    found = FriendFeatures.of(log(friends, likes)).features(rows(user), rows(items))
    return found.reshape(len(items), len(SOCIAL))


def test_friends_and_what_they_wanted_by_hand() -> None:
    two, one = np.log(3), np.log(2)
    np.testing.assert_allclose(
        features(ANN, A, B, C),
        [
            [two, 1.0, two],  # both friends wanted it, one of them twice
            [two, 0.5, one],  # only cid; that ann wants it herself says nothing
            [two, 0.0, 0.0],  # everybody met it, nobody wanted it
        ],
        rtol=1e-6,
    )


def test_friendship_has_a_direction() -> None:
    # Cid names dan, dan names nobody: what cid likes is no friend's wish to dan.
    assert features(CID, B)[0, 1] == 1.0
    assert features(DAN, B)[0].tolist() == [0.0, pytest.approx(NAN, nan_ok=True), 0.0]


def test_without_friends_the_share_is_unknown_and_the_counts_are_0() -> None:
    found = features(DAN, A, B)
    assert found[:, [0, 2]].tolist() == [[0.0, 0.0]] * 2
    assert np.isnan(found[:, 1]).all()


def test_pairs_named_twice_and_friends_with_oneself_change_nothing() -> None:
    noisy = [*FRIENDS, ("ann", "bob"), ("ann", "ann"), ("dan", "dan")]
    for user in range(4):
        np.testing.assert_array_equal(
            features(user, A, B, C), features(user, A, B, C, friends=noisy)
        )


@pytest.mark.parametrize("friends", [None, FRIENDS])
def test_strangers_and_padding_are_unknown(friends: Any) -> None:
    assert np.isnan(features(-1, A, B, friends=friends)).all()
    assert np.isnan(features(ANN, -1, friends=friends)).all()


def test_without_a_friend_table_nothing_is_known() -> None:
    assert np.isnan(features(ANN, A, B, friends=None)).all()
    # A table without a pair is something else: it says that nobody has friends.
    assert features(ANN, A, friends=[])[0, 0] == 0.0


def test_a_friend_outside_the_data_does_not_count() -> None:
    assert features(ANN, A, friends=[("ann", "bob"), ("ann", "zoe")])[0, 0] == pytest.approx(
        np.log(2)
    )


def test_only_the_log_is_looked_at() -> None:
    whole = log(FRIENDS, LIKES)
    early = whole.where(pl.Series([True] + [False] * (whole.n_events - 1)))  # bob likes a
    found = FriendFeatures.of(early).features(rows(ANN), rows([A, B]))[0]
    np.testing.assert_allclose(found[:, 1], [0.5, 0.0])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (1, 3), (7, 3)])
def test_shapes(shape: tuple[int, int]) -> None:
    friends = FriendFeatures.of(log(FRIENDS, LIKES))
    users = rows(*range(shape[0])) % 4
    found = friends.features(users, np.zeros(shape, dtype=np.int32))
    assert found.shape == (*shape, len(SOCIAL))
    assert found.dtype == np.float32


@pytest.mark.parametrize(("user", "item"), [(4, 0), (-2, 0), (0, 3), (0, -2)])
def test_rows_of_another_log_are_refused(user: int, item: int) -> None:
    with pytest.raises(ValueError, match="rows must lie in -1"):
        features(user, item)


PEOPLE = st.sampled_from(["ann", "bob", "cid", "dan"])


@given(
    st.lists(st.tuples(PEOPLE, PEOPLE)),
    st.lists(st.tuples(PEOPLE, st.sampled_from("ab"))),
    st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2), st.integers(-1, 2)), max_size=6),
)
def test_features_are_those_of_a_plain_loop(
    friends: list[tuple[str, str]], likes: list[tuple[str, str]], asked: list[tuple[int, int, int]]
) -> None:
    data = log(friends, likes)
    table = np.array(asked, dtype=np.int32).reshape(len(asked), 3)
    found = FriendFeatures.of(data).features(table[:, 0], table[:, 1:])
    for row, (user, *items) in enumerate(asked):
        for place, item in enumerate(items):
            if user < 0 or item < 0:
                assert np.isnan(found[row, place]).all()
                continue
            name = data.user_ids.ids[user]
            mine = {friend for person, friend in friends if person == name and friend != name}
            fans = [friend for friend in mine if (friend, "abc"[item]) in likes]
            share = len(fans) / len(mine) if mine else NAN
            expected = [np.log1p(len(mine)), share, np.log1p(len(fans))]
            np.testing.assert_allclose(found[row, place], expected, rtol=1e-6)


@pytest.mark.parametrize("friends", [FRIENDS, None])
def test_arrays_carry_everything(friends: Any) -> None:
    found = FriendFeatures.of(log(friends, LIKES))
    again = FriendFeatures.from_arrays(found.to_arrays())
    asked = (rows(ANN, BOB), rows([A, B], [B, A]))
    np.testing.assert_array_equal(again.features(*asked), found.features(*asked))


def test_many_requests_are_answered_like_one() -> None:
    friends = FriendFeatures.of(log(FRIENDS, LIKES))
    rng = np.random.default_rng(0)
    users = rng.integers(0, 4, size=REQUESTS_AT_ONCE + 3).astype(np.int32)
    items = rng.integers(-1, 3, size=(len(users), 2)).astype(np.int32)
    together = friends.features(users, items)
    for row in [0, 1, REQUESTS_AT_ONCE - 1, REQUESTS_AT_ONCE, len(users) - 1]:
        alone = friends.features(users[[row]], items[[row]])
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.real
@pytest.mark.skipif(not HETREC.is_dir(), reason="shared data set lastfm-hetrec2011 is absent")
def test_on_real_data_friends_want_what_a_person_wants(tmp_path: Path) -> None:
    path = ROOT / "configs/lastfm-hetrec2011.toml"
    assert load_toml(ImportMapping, path).friends is not None
    import_table(path, tmp_path / "data", now=datetime(2024, 1, 1, tzinfo=UTC), root=HETREC)
    data = load_dataset(tmp_path / "data")
    rng = np.random.default_rng(0)
    held_out = rng.random(data.n_events) < 0.2
    train, test = data.where(pl.Series(~held_out)), data.where(pl.Series(held_out))
    wanted = test.events.filter(pl.col("strength") > 0).sample(2_000, seed=0)
    users = wanted["user_row"].to_numpy().astype(np.int32)
    # Each wanted artist beside one that is as popular but somebody else's.
    own = wanted["item_row"].to_numpy().astype(np.int32)
    found = FriendFeatures.of(train).features(users, np.stack([own, rng.permutation(own)], axis=1))
    some = found[:, 0, 0] > 0
    share = found[some][:, :, 1].mean(axis=0)
    assert some.mean() > 0.9
    assert share[0] > 1.3 * share[1]
