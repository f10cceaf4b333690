"""Somebody else's scores as labelled signals: what was wanted, and what was known before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.data import Dataset, save_dataset
from crossfade.errors import BundleError, DataError
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.chain import CLOCK
from crossfade.meta.context import ContextReader
from crossfade.meta.outside import OutsideLists, make_lists
from crossfade.meta.outside_context import MAX_READERS
from crossfade.meta.outside_events import Events, read_events
from crossfade.meta.outside_table import ScoreTable
from crossfade.meta.track import SHRINK, TrackRecord
from crossfade.testing import tiny_catalogue
from crossfade.types import Floats

START = datetime(2024, 1, 1, tzinfo=UTC)

Scored = tuple[str, str, float | None, float | None]
"""User, item, score by base x, score by base y."""

Log = list[tuple[str, str, float]]
"""User, item, day."""


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def table(rows: list[Scored], days: float | list[float] | None = None) -> ScoreTable:
    """Scores, all or each made on a day."""
    frame = pl.DataFrame(rows, ["user_id", "item_id", "x", "y"], orient="row")
    moments: Any = [None] * len(rows)
    if days is not None:
        moments = [day(d) for d in (days if isinstance(days, list) else [days] * len(rows))]
    when = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    frame = frame.with_columns(timestamp=when, request_id=pl.lit(None, pl.String))
    frame = frame.sort("user_id", "timestamp", "item_id")
    keys = ["user_id", "timestamp", "request_id"]
    sizes = frame.group_by(keys, maintain_order=True).len()
    return ScoreTable(
        requests=sizes.select(keys),
        indptr=np.concatenate([[0], np.cumsum(sizes["len"].to_numpy())]).astype(np.int64),
        item_id=frame["item_id"],
        score=frame.select("x", "y").fill_null(np.nan).to_numpy().astype(np.float64),
        bases=("x", "y"),
    )


def events(log: Log, *, times: bool = True, **others: Any) -> Events:
    columns: dict[str, Any] = {
        "user_id": [user for user, _, _ in log],
        "item_id": [item for _, item, _ in log],
    }
    if times:
        columns["timestamp"] = [day(number) for _, _, number in log]
    return Events("log", log=pl.DataFrame({**columns, **others}))


def wanted(lists: OutsideLists, request: int) -> set[str]:
    labelled = lists.labelled(np.array([request]))
    rows = labelled.item_row[0][labelled.relevant[0]]
    return set(lists.dataset.item_ids.decode(rows))


BOTH: list[Scored] = [
    ("u", "a", 3, 1),
    ("u", "b", 2, None),
    ("u", "c", 1, 5),
    ("v", "a", 1, 2),
]


# -- signals ---------------------------------------------------------------------------


def test_signals_hold_the_scaled_scores_of_each_list() -> None:
    lists = make_lists(table(BOTH), events([("u", "a", 0)]))
    labelled = lists.labelled(np.array([1, 0]))
    signals = labelled.signals
    assert signals.columns.bases == ("x", "y")
    assert signals.mask.tolist() == [[True, False, False], [True, True, True]]
    s = 1.5**0.5
    np.testing.assert_allclose(signals.score[1, :, 0], [s, 0, -s], atol=1e-6)
    np.testing.assert_allclose(signals.score[1, :, 1], [-1, np.nan, 1], atol=1e-6)
    assert np.isnan(signals.score[0, 1:]).all()
    assert signals.reciprocal_rank is not None
    np.testing.assert_allclose(signals.reciprocal_rank[1, :, 0], [1, 61 / 62, 61 / 63], rtol=1e-6)
    np.testing.assert_allclose(signals.reciprocal_rank[1, :, 1], [61 / 62, np.nan, 1], rtol=1e-6)
    assert lists.dataset.item_ids.decode(labelled.item_row[1]) == ["a", "b", "c"]
    assert labelled.item_row[0].tolist()[1:] == [-1, -1]


def test_scales_are_taken_over_what_was_given_and_lists_cut_afterwards() -> None:
    whole = make_lists(table(BOTH), events([("u", "a", 0)]))
    cut = make_lists(table(BOTH), events([("u", "a", 0)]), n_candidates=1)
    assert cut.item_row.tolist() == [0, 2, 0]  # the best of x and of y; v has one item
    np.testing.assert_array_equal(cut.zscore, whole.zscore[[0, 2, 3]])
    np.testing.assert_array_equal(cut.reciprocal_rank, whole.reciprocal_rank[[0, 2, 3]])
    assert "lists are cut to the best 1 of each base: 1 row out" in cut.notes


def test_equal_scores_do_not_make_a_cut_list_longer() -> None:
    rows: list[Scored] = [("u", item, 7, None) for item in "abcd"]
    lists = make_lists(table(rows), events([("u", "d", 0)]), n_candidates=2)
    assert lists.item_row.tolist() == [0, 1]


def test_who_is_scored_by_no_base_has_an_empty_list() -> None:
    rows: list[Scored] = [*BOTH, ("w", "a", None, None)]
    lists = make_lists(table(rows), events([("u", "a", 0), ("w", "a", 0)]))
    assert lists.n_candidates.tolist() == [3, 1, 0]
    labelled = lists.labelled(np.array([2]))
    assert not labelled.signals.mask.any()
    assert labelled.n_relevant.tolist() == [1]


# -- what was wanted -------------------------------------------------------------------


def test_without_a_moment_everything_positive_was_wanted() -> None:
    log = events([("u", "a", 0), ("u", "z", 0), ("u", "b", 9), ("x", "c", 0)], times=False)
    lists = make_lists(table(BOTH), log)
    assert wanted(lists, 0) == {"a", "b"}
    assert lists.n_relevant.tolist() == [3, 0]  # z counts, though nobody listed it
    assert lists.context is None
    assert any("nobody says when the scores were made" in note for note in lists.notes)


def test_what_was_skipped_was_not_wanted() -> None:
    log = events([("u", "a", 0), ("u", "b", 0)], times=False, event=["skip", "play"])
    assert wanted(make_lists(table(BOTH), log), 0) == {"b"}


def test_wanted_is_what_comes_from_the_moment_on() -> None:
    log = events([("u", "a", 4.9), ("u", "b", 5), ("u", "c", 6)])
    lists = make_lists(table(BOTH, 5), log)
    assert wanted(lists, 0) == {"b", "c"}


def test_wanted_ends_where_the_same_person_is_asked_again() -> None:
    rows: list[Scored] = [("u", "b", 1, 1), ("u", "c", 2, 2), ("u", "b", 1, 1), ("u", "c", 2, 2),
                          ("v", "b", 1, 1), ("v", "c", 2, 2)]  # fmt: skip
    log = events([("t", "a", 0), ("u", "b", 5), ("u", "c", 7), ("v", "b", 5), ("v", "c", 7)])
    lists = make_lists(table(rows, [5, 5, 7, 7, 5, 5]), log)
    assert [wanted(lists, request) for request in range(3)] == [{"b"}, {"c"}, {"b", "c"}]


def test_known_items_count_only_where_somebody_lists_them() -> None:
    log = events([("u", "a", 1), ("u", "z", 1), ("u", "a", 6), ("u", "z", 6), ("u", "b", 6)])
    # x and y list item a, which u knows: known items are wanted too.
    assert make_lists(table(BOTH, 5), log).n_relevant[0] == 3
    # Nobody lists what u knows: a recommender of new things is not blamed for known ones.
    fresh = make_lists(table(BOTH[1:], 5), log)
    assert fresh.n_relevant[0] == 1
    assert any("only new items count as wanted" in note for note in fresh.notes)


# -- nobody to learn from --------------------------------------------------------------


def test_ids_that_do_not_meet_are_told_with_examples() -> None:
    with pytest.raises(DataError) as error:
        make_lists(table(BOTH), events([("user-1", "a", 0), ("user-2", "b", 0)]))
    assert str(error.value) == (
        "none of the 2 users with scores (u, v, …) is among the 2 users of the events (user-1, user-2, …); "
        "use the same ids in both"
    )


def test_events_that_end_before_the_scores_teach_nothing() -> None:
    with pytest.raises(
        DataError, match=r"did anything positive from 2024-01-06T00:00:00\+00:00 on"
    ):
        make_lists(table(BOTH, 5), events([("u", "a", 1)]))


def test_moments_need_events_with_times() -> None:
    with pytest.raises(DataError, match="events have no times, so nothing says what came after"):
        make_lists(table(BOTH, 5), events([("u", "a", 1)], times=False))


# -- context ---------------------------------------------------------------------------

LOG: Log = [
    ("u", "a", 0),
    ("u", "b", 1),
    ("v", "b", 2),
    ("v", "c", 3),
    ("u", "c", 6),
    ("v", "a", 7),
]


def signals_of(lists: OutsideLists) -> LabelledSignals:
    return lists.labelled(np.arange(len(lists)))


def test_context_is_that_of_the_house_as_of_the_moment() -> None:
    lists = make_lists(table(BOTH, 5), events(LOG))
    found = signals_of(lists)
    data = lists.dataset
    reader = ContextReader(data.before(day(5)), ("x", "y"), TrackRecord.empty(data.n_users, 2))
    moment = int((day(5) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    queries = data.queries([0, 1], np.array([moment, moment]))
    user = reader.user(queries)
    user[:, [reader.user_columns.index(name) for name in CLOCK]] = np.nan
    np.testing.assert_array_equal(found.signals.user, user)
    np.testing.assert_array_equal(found.signals.item, reader.item(queries, found.item_row))
    assert found.signals.columns.user == reader.user_columns
    assert found.signals.columns.item == reader.item_columns


FUTURE = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.floats(0, 30)), max_size=8
)


@settings(max_examples=25)
@given(FUTURE)
def test_the_future_changes_what_was_wanted_and_nothing_else(future: Log) -> None:
    rows: list[Scored] = [*BOTH, ("u", "d", 4, 4)]
    later: Log = [(user, item, 5 + number) for user, item, number in future]
    sure: Log = [("u", "d", 6)]
    before = signals_of(make_lists(table(rows, 5), events([*LOG[:4], *sure])))
    after = signals_of(make_lists(table(rows, 5), events([*LOG[:4], *sure, *later])))
    for name in ("score", "reciprocal_rank", "user", "item"):
        np.testing.assert_array_equal(
            getattr(before.signals, name), getattr(after.signals, name), name
        )


def test_without_earlier_events_there_is_no_context() -> None:
    lists = make_lists(table(BOTH, 0), events(LOG))
    assert lists.context is None
    assert signals_of(lists).signals.user is None
    assert any("no events from before the first scores" in note for note in lists.notes)


def test_what_a_base_did_at_earlier_moments_is_its_record() -> None:
    rows: list[Scored] = [("u", "c", 2, 1), ("u", "d", 1, 2), ("u", "d", 1, 1),
                          ("v", "c", 1, 1), ("v", "d", 2, None)]  # fmt: skip
    # On day 5 x puts c first and y puts d first; u wanted c and an unlisted item before day 8.
    # What v wanted on day 9 is later than u's request of day 8, so nobody's mean may know it.
    log = events([*LOG[:4], ("u", "c", 6), ("u", "e", 6), ("v", "c", 9), ("u", "d", 10)])
    lists = make_lists(table(rows, [5, 5, 8, 5, 5]), log)
    assert lists.context is not None
    columns = list(lists.context.user_columns)
    where = [columns.index(name) for name in ("track_x", "track_y", "log_track_items")]
    user = signals_of(lists).signals.user
    assert user is not None
    np.testing.assert_array_equal(user[[0, 2]][:, where], [[np.nan, np.nan, 0]] * 2)
    gain_x, gain_y = 1.0, 1 / np.log2(3)
    shrunk = [(gain + SHRINK * gain / 2) / (2 + SHRINK) for gain in (gain_x, gain_y)]
    np.testing.assert_allclose(user[1, where], [*shrunk, np.log(3)], rtol=1e-6)


def test_many_moments_share_readers_and_none_sees_the_future() -> None:
    n = 3 * MAX_READERS
    rows: list[Scored] = [("u", "a", 1, 2) for _ in range(n)]
    days = [float(10 + number) for number in range(n)]
    log: Log = [("v", "a", number) for number in range(40)] + [("u", "b", 5), ("u", "a", 39.5)]
    lists = make_lists(table(rows, days), events(log))
    assert lists.context is not None
    found: Floats | None = signals_of(lists).signals.item
    assert found is not None
    # v plays a once a day; three requests in a row share what was known at the first of them.
    known = 10 + np.arange(n) // 3 * 3
    column = lists.context.item_columns.index("log_events")
    np.testing.assert_allclose(found[:, 0, column], np.log1p(known), rtol=1e-6)
    own = signals_of(make_lists(table([("u", "a", 1, 2)], 10), events(log))).signals
    np.testing.assert_array_equal(np.asarray(own.item)[0], found[0])


# -- events ----------------------------------------------------------------------------


def test_a_saved_data_set_knows_all_ids_and_a_log_alone_none(tmp_path: Path) -> None:
    save_dataset(tiny_catalogue(), tmp_path / "data")
    known = read_events(tmp_path / "data").known
    assert known["user_id"].to_list() == ["ann", "bob", "cid"]
    assert known["item_id"].to_list() == ["a", "b", "c", "d", "e"]
    pl.DataFrame({"user_id": ["u"], "item_id": [1]}).write_parquet(tmp_path / "log.parquet")
    assert read_events(tmp_path / "log.parquet").known == {}
    pl.DataFrame({"item_id": [2, 3]}).write_parquet(tmp_path / "items.parquet")
    with_items = read_events(tmp_path / "log.parquet", tmp_path / "items.parquet")
    assert list(with_items.known) == ["item_id"]
    assert with_items.known["item_id"].to_list() == ["1", "2", "3"]
    with pytest.raises(DataError, match="has its own catalogue; leave --items out"):
        read_events(tmp_path / "data", tmp_path / "items.parquet")


def test_the_catalogue_of_a_log_is_context() -> None:
    items = pl.DataFrame(
        {"item_id": ["a", "b"], "genres": [["jazz"], ["rock"]], "title": ["A", "B"]}
    )
    log = events(LOG).log
    lists = make_lists(table(BOTH, 5), Events("log", log=log, items=items))
    assert lists.context is not None
    found = signals_of(lists)
    complete = np.asarray(found.signals.item)[
        0, :, lists.context.item_columns.index("completeness")
    ]
    assert complete[0] == complete[1] > complete[2] == 0  # c is scored and not in the catalogue


def test_events_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory; check the path of the events"):
        read_events(tmp_path / "none.parquet")
    with pytest.raises(BundleError, match="no data set here"):
        read_events(tmp_path)
    (tmp_path / "log.parquet").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match="bring other files in with crossfade import"):
        read_events(tmp_path / "log.parquet")
    pl.DataFrame({"user": ["u"], "item": ["a"]}).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="column user_id, item_id is missing; the columns are user"):
        read_events(tmp_path / "log.parquet")


def test_a_data_set_is_taken_as_it_is() -> None:
    data: Dataset = tiny_catalogue()
    rows: list[Scored] = [("ann", "c", 1, 2), ("cid", "a", 1, 2)]
    lists = make_lists(table(rows), Events("tiny", data))
    assert lists.dataset is data
    assert lists.n_relevant.tolist() == [2, 1]
