"""What a history says about single candidates, against a slow reading of it."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, Queries, Taste
from crossfade.data.dataset import to_us
from crossfade.data.world import WorldConfig, make_world
from crossfade.features.items import ItemArrays, ItemSchema, ItemSchemaConfig
from crossfade.features.pairs import PAIR_FEATURES, pair_features
from crossfade.types import Doubles, Rows

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000

Log = Sequence[tuple[str, int, float, str]]
"""Events as (user, item row, day, kind)."""

# "solo" made one item, "ska" and "polka" are on one each: too few to be more than unseen.
CATALOGUE: list[tuple[str, str | None, list[str] | None, list[str] | None]] = [
    ("a", "ella", ["jazz"], ["calm"]),
    ("b", "ella", ["jazz", "rock"], ["calm", "dark"]),
    ("c", "john", ["rock"], None),
    ("d", "john", ["folk"], ["dark"]),
    ("e", "solo", ["ska", "folk"], []),
    ("f", None, None, None),
    ("g", None, ["polka"], ["dark"]),
]
N_ITEMS = len(CATALOGUE)
EVERYTHING = np.arange(N_ITEMS, dtype=np.int32)


def catalogue(*without: str) -> pl.DataFrame:
    names = ["item_id", "creator", "genres", "moods"]
    return pl.DataFrame(CATALOGUE, names, orient="row").drop(without)


@cache
def whole_content() -> tuple[ItemArrays, ItemSchema]:
    return content(catalogue())


def content(items: pl.DataFrame) -> tuple[ItemArrays, ItemSchema]:
    schema = ItemSchema.fit(items, np.ones(items.height, dtype=np.bool_), ItemSchemaConfig())
    return schema.transform(items), schema


def dataset(log: Log, *, times: bool = True) -> Dataset:
    """A data set; users u, v and w always exist."""
    columns: dict[str, list[Any]] = {
        "user_id": [x[0] for x in log],
        "item_id": [CATALOGUE[x[1]][0] for x in log],
        "event": [x[3] for x in log],
    }
    if times:
        columns["timestamp"] = [START + timedelta(days=x[2]) for x in log]
    users = pl.DataFrame({"user_id": ["u", "v", "w"]})
    return Dataset.build(pl.DataFrame(columns), catalogue(), users)


def day_us(day: float) -> int:
    return to_us(START + timedelta(days=day))


def ask(data: Dataset, users: list[int], day: float | None) -> Queries:
    moments = None if day is None else np.full(len(users), day_us(day), dtype=np.int64)
    return data.queries(users, moments)


def features(queries: Queries, item_row: Rows | None = None) -> Doubles:
    if item_row is None:
        item_row = np.tile(EVERYTHING, (len(queries), 1))
    return pair_features(queries, item_row, *whole_content())


def column(found: Doubles, name: str) -> Doubles:
    return found[..., PAIR_FEATURES.index(name)]


# -- by hand ---------------------------------------------------------------------------

BY_HAND: Log = [
    ("u", 0, 0, "play"),
    ("u", 0, 4, "play"),
    ("u", 1, 2, "play"),
    ("u", 2, 6, "dislike"),
    ("u", 5, 7, "play"),
    ("v", 3, 9, "play"),
]
NAN = math.nan


def logs(*numbers: float) -> list[float]:
    return [math.log1p(x) for x in numbers]


def test_a_history_by_hand() -> None:
    found = features(ask(dataset(BY_HAND), [0], 10))[0]
    expected = {
        # Three plays of ella, none of john that was wanted; the rest have no known creator.
        "log_creator_events": logs(3, 3, 0, 0, NAN, NAN, NAN),
        "log_creator_idle_days": logs(6, 6, NAN, NAN, NAN, NAN, NAN),
        # a, a and b are jazz, jazz and half of each: 2.5 parts jazz, half a part rock.
        "genre_match": [2.5 / 3, 1, 0.5 / 3, 0, 0, NAN, 0],
        "mood_match": [2.5 / 3, 1, NAN, 0.5 / 3, NAN, NAN, 0.5 / 3],
        "log_met": logs(2, 1, 1, 0, 0, 1, 0),
        "log_met_idle_days": logs(6, 8, 4, NAN, NAN, 3, NAN),
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(column(found, name), numbers, rtol=1e-6, err_msg=name)


def test_an_empty_history_has_counts_of_0_and_matches_nothing_knowable() -> None:
    found = features(ask(dataset(BY_HAND), [2], 10))[0]
    assert column(found, "log_met").tolist() == [0] * N_ITEMS
    assert column(found, "log_creator_events").tolist()[:4] == [0] * 4
    for name in ("genre_match", "mood_match", "log_met_idle_days", "log_creator_idle_days"):
        assert np.isnan(column(found, name)).all(), name


def test_a_history_without_genres_matches_nothing_knowable() -> None:
    found = features(ask(dataset([("u", 5, 1, "play")]), [0], 10))[0]
    assert np.isnan(column(found, "genre_match")).all()
    assert column(found, "log_met").tolist() == pytest.approx(logs(0, 0, 0, 0, 0, 1, 0))


def test_unseen_genres_match_nothing_not_even_one_another() -> None:
    found = features(ask(dataset([("u", 6, 1, "play")]), [0], 10))[0]
    np.testing.assert_array_equal(column(found, "genre_match"), [0, 0, 0, 0, 0, NAN, 0])


def test_padding_is_nan_and_changes_nothing_for_the_others() -> None:
    queries = ask(dataset(BY_HAND), [0, 1], 10)
    padded = np.array([[0, 3, -1, 5], [3, -1, -1, -1]], dtype=np.int32)
    found = features(queries, padded)
    whole = features(queries)
    assert np.isnan(found[padded < 0]).all()
    np.testing.assert_array_equal(found[0, [0, 1, 3]], whole[0, [0, 3, 5]])
    np.testing.assert_array_equal(found[1, 0], whole[1, 3])


def test_without_times_no_days_are_known() -> None:
    timed, untimed = (features(ask(dataset(BY_HAND, times=t), [0], None)) for t in (True, False))
    for name in PAIR_FEATURES:
        if name.endswith("idle_days"):
            assert np.isnan(column(untimed, name)).all()
            assert np.isfinite(column(timed, name)).any()
        else:
            np.testing.assert_array_equal(column(timed, name), column(untimed, name))


def test_a_request_without_a_time_is_one_just_after_its_newest_event() -> None:
    data = dataset(BY_HAND)
    at = replace(data.queries([0]), as_of_us=np.array([day_us(7) + 1]))
    np.testing.assert_array_equal(features(data.queries([0])), features(at))


def test_an_event_at_the_time_of_its_request_was_0_days_ago() -> None:
    # Where days stand for times, a history may share its last one with the request.
    at = replace(dataset(BY_HAND).queries([0]), as_of_us=np.array([day_us(7)]))
    assert column(features(at), "log_met_idle_days")[0, 5] == 0


def test_a_log_before_1970_counts_days_like_any_other() -> None:
    queries = ask(dataset(BY_HAND), [0, 1], 10)
    assert queries.time_us is not None
    assert queries.as_of_us is not None
    shift = day_us(20_000)
    old = replace(queries, time_us=queries.time_us - shift, as_of_us=queries.as_of_us - shift)
    np.testing.assert_array_equal(features(old), features(queries))


def test_a_stranger_with_the_same_history_gets_the_same() -> None:
    queries = ask(dataset(BY_HAND), [0, 1], 10)
    strangers = replace(queries, user_row=np.array([-1, -1], dtype=np.int32))
    np.testing.assert_array_equal(features(strangers), features(queries))


def test_what_somebody_says_they_like_counts_as_in_any_other_profile() -> None:
    nobody = replace(Queries.of_items([], N_ITEMS), tastes=(Taste(("Rock",)),))
    assert column(features(nobody), "genre_match")[0].tolist() == pytest.approx(
        [0, 1, 1, 0, 0, NAN, 0], nan_ok=True
    )


@pytest.mark.parametrize("without", ["genres", "moods", "creator"])
def test_a_catalogue_without_a_column_lacks_its_features_only(without: str) -> None:
    queries = ask(dataset(BY_HAND), [0], 10)
    rows = EVERYTHING[None]
    whole = features(queries)
    found = pair_features(queries, rows, *content(catalogue(without)))
    touched = {"genres": ["genre_match"], "moods": ["mood_match"]}.get(
        without, ["log_creator_events", "log_creator_idle_days"]
    )
    for name in PAIR_FEATURES:
        if name in touched:
            assert np.isnan(column(found, name)).all()
        else:
            np.testing.assert_array_equal(column(found, name), column(whole, name))


def test_nobody_and_nothing_give_empty_arrays() -> None:
    queries = ask(dataset(BY_HAND), [0, 1], 10)
    assert features(queries.take([])).shape == (0, N_ITEMS, len(PAIR_FEATURES))
    nothing = features(queries, np.zeros((2, 0), dtype=np.int32))
    assert nothing.shape == (2, 0, len(PAIR_FEATURES))


# -- against a slow reading ------------------------------------------------------------


def slowly(queries: Queries, item_row: Rows) -> Doubles:
    """The same in plain Python, from the catalogue's own words."""
    out = np.full((*item_row.shape, len(PAIR_FEATURES)), np.nan)
    common = {"ella", "john", "jazz", "rock", "folk", "calm", "dark"}
    for b in range(len(queries)):
        part = slice(int(queries.indptr[b]), int(queries.indptr[b + 1]))
        items = queries.item_row[part].tolist()
        wanted = [strength > 0 for strength in queries.strength[part]]
        times = None if queries.time_us is None else queries.time_us[part].tolist()
        for j, item in enumerate(item_row[b].tolist()):
            if item < 0:
                continue
            creator = CATALOGUE[item][1]
            groups = (
                [w and CATALOGUE[i][1] == creator for i, w in zip(items, wanted, strict=True)],
                [i == item for i in items],
            )
            for place, mine in zip((0, 4), groups, strict=True):
                if place == 0 and creator not in common:
                    continue
                out[b, j, place] = math.log1p(sum(mine))
                if times is not None and any(mine):
                    assert queries.as_of_us is not None
                    last = max(t for t, m in zip(times, mine, strict=True) if m)
                    days = (queries.as_of_us[b] - last) / DAY_US
                    out[b, j, place + 1] = math.log1p(days)
            for place in (2, 3):
                liked: Counter[str] = Counter()
                for i, w in zip(items, wanted, strict=True):
                    # All labels too rare to have a row of their own are one, and match nothing.
                    labels = {x if x in common else "unseen" for x in CATALOGUE[i][place] or []}
                    for label in labels:
                        liked[label] += w / len(labels)
                carried = CATALOGUE[item][place]
                if carried and liked.total():
                    shared = sum(liked[label] for label in set(carried) & common)
                    out[b, j, place] = shared / liked.total()
    return out


LOGS = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, 50) | st.floats(0, 50),
        st.sampled_from(["play", "play", "dislike"]),
    ),
    min_size=1,
    max_size=25,
)
CANDIDATES = st.lists(
    st.lists(st.integers(-1, N_ITEMS - 1), min_size=4, max_size=4), min_size=3, max_size=3
)


@given(LOGS, CANDIDATES, st.integers(0, 60), st.booleans())
def test_a_history_read_slowly_says_the_same(
    log: Log, rows: list[list[int]], day: int, times: bool
) -> None:
    queries = ask(dataset(log, times=times), [2, 0, 1], day if times else None)
    item_row = np.array(rows, dtype=np.int32)
    found = features(queries, item_row)
    np.testing.assert_allclose(found, slowly(queries, item_row), rtol=1e-6, atol=1e-7)


@given(LOGS, LOGS, st.integers(0, 50))
def test_the_future_changes_nothing(log: Log, future: Log, day: int) -> None:
    later = [(user, item, day + after, kind) for user, item, after, kind in future]
    now = features(ask(dataset(log), [0, 1, 2], day))
    np.testing.assert_array_equal(features(ask(dataset([*log, *later]), [0, 1, 2], day)), now)


@given(LOGS, CANDIDATES, st.integers(0, 60))
def test_who_else_asks_changes_nothing(log: Log, rows: list[list[int]], day: int) -> None:
    queries = ask(dataset(log), [0, 1, 2], day)
    item_row = np.array(rows, dtype=np.int32)
    together = features(queries, item_row)
    for b in range(3):
        alone = features(queries.take([b]), item_row[[b]])
        np.testing.assert_array_equal(alone[0], together[b])


def test_every_column_varies_in_the_synthetic_world() -> None:
    data = make_world(WorldConfig(n_listeners=80, n_tracks=300, n_plays=8_000), seed=3).dataset
    assert data.time_us is not None
    moment = int(data.time_us[data.n_events // 2])
    queries = data.queries(range(80), np.full(80, moment, dtype=np.int64))
    arrays, schema = content(data.items)
    rows = np.tile(np.arange(data.n_items, dtype=np.int32), (80, 1))
    found = pair_features(queries, rows, arrays, schema)
    assert not np.isinf(found).any()
    for place, name in enumerate(PAIR_FEATURES):
        values = found[..., place]
        assert len(np.unique(values[np.isfinite(values)])) > 3, name
