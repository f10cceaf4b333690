"""The live log as a data set."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.online import systems
from tests.online.updates.logs import fill, since

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.errors import DataError
from crossfade.online import Ask
from crossfade.online.history import Histories
from crossfade.online.updates import Export, export
from crossfade.store.log import Item, Log, NewEvent, User

DAY_US = 86_400_000_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as opened:
        yield opened


@pytest.fixture(scope="module", params=[True, False], ids=["session ids", "pauses"])
def whole(request: pytest.FixtureRequest) -> Dataset:
    return systems.world(sessions=request.param)


def end_of(dataset: Dataset) -> int:
    assert dataset.time_us is not None
    return int(dataset.time_us[-1])


def exported(log: Log, dataset: Dataset, whole: Dataset, page: int = 100) -> Export:
    return export(log, dataset, end_of(whole) + DAY_US, page=page)


def test_the_log_that_went_on_is_the_whole_log(log: Log, whole: Dataset) -> None:
    old, moment = systems.cut(whole, 0.95)
    overlap = moment - DAY_US  # the last day was handed in twice
    fill(log, since(whole, overlap))
    found = exported(log, old, whole).dataset
    # Events of one moment may change places: the log's own come first.
    keys = ["timestamp", "user_id", "item_id"]
    assert_frame_equal(
        found.with_ids().sort(keys),
        whole.with_ids().sort(keys),
        check_column_order=False,
    )
    assert found.user_ids.ids.to_list() == whole.user_ids.ids.to_list()
    assert found.target == whole.target
    assert exported(log, found, whole).dataset.n_events == whole.n_events


def test_histories_are_those_that_live_events_gave(log: Log, whole: Dataset) -> None:
    old, moment = systems.cut(whole, 0.95)
    fill(log, since(whole, moment))
    found, histories = exported(log, old, whole).dataset, Histories(old)
    for user in found.user_ids.ids[:10]:
        live = histories.of([Ask(user, systems.live(whole, user, moment))])[0].query
        mine = found.queries([found.user_ids.row(user)])
        np.testing.assert_array_equal(mine.item_row, live.item_row)
        np.testing.assert_array_equal(mine.strength, live.strength)
        np.testing.assert_array_equal(mine.time_us, live.time_us)
        opens = [np.diff(query.session_row) != 0 for query in (mine, live)]
        np.testing.assert_array_equal(*opens)


def test_kinds_and_skips_count_though_the_log_never_had_them(log: Log, timed: Dataset) -> None:
    now = end_of(timed) + DAY_US
    log.append(
        [
            NewEvent("a", now - 3, "ann", event="dislike", value=5.0, played_ms=7),
            NewEvent("b", now - 2, "ann", skipped=True),
            NewEvent("c", now - 1, "ann", event="like", context={"planet": "mars"}),
        ],
        now,
    )
    bare = Dataset.build(timed.with_ids().select("user_id", "item_id", "timestamp"))
    found = export(log, bare, now).dataset
    assert found.events["strength"].to_list()[-3:] == [0, 0, 1]
    # What nothing was learned of begins with an import, not with whatever somebody sends.
    assert not {"value", "played_ms", "context_planet"} & set(found.events.columns)


def test_nameless_and_untimely_events_stay_out_and_are_counted(log: Log, timed: Dataset) -> None:
    now = end_of(timed) + DAY_US
    log.append(
        [
            NewEvent("a", now, session_id="nobody's"),
            NewEvent("a", now + 1, "ann"),
            NewEvent("a", -(2**62), "ann"),
            NewEvent("a", now, "ann", value=1e300),
        ],
        now,
    )
    found = export(log, timed, now, page=1)
    assert (found.n_read, found.n_nameless, found.n_untimely) == (4, 1, 2)
    assert found.dataset.n_events == timed.n_events + 1
    # A day later its time has come.
    assert export(log, timed, now + 1).dataset.n_events == timed.n_events + 2


def test_whoever_was_forgotten_is_in_no_table(log: Log, whole: Dataset) -> None:
    old, moment = systems.cut(whole, 0.95)
    fill(log, since(whole, moment))
    gone, back = old.user_ids.ids[0], old.user_ids.ids[1]
    now = end_of(whole)
    for user in (gone, back):
        log.forget(user_id=user, now_us=now)
    log.append([NewEvent(whole.item_ids.id(0), now + 5, back)], now + 5)
    found = exported(log, old, whole)
    assert found.n_forgotten == 2
    assert gone not in found.dataset.user_ids
    assert gone not in found.dataset.users["user_id"].to_list()
    mine = found.dataset.queries([found.dataset.user_ids.row(back)])
    assert mine.time_us is not None
    assert mine.time_us.tolist() == [now + 5]
    theirs = found.dataset.with_ids().filter(~pl.col("user_id").is_in([gone, back])).height
    assert theirs == whole.with_ids().filter(~pl.col("user_id").is_in([gone, back])).height


def test_who_is_forgotten_while_the_log_is_read_is_left_out(
    log: Log, timed: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = end_of(timed) + DAY_US
    log.append([NewEvent("a", now, "eve")], now)
    read = log.events_after

    def late(sequence: int, limit: int) -> object:
        found = read(sequence, limit)
        log.forget(user_id="eve", now_us=now)
        return found

    monkeypatch.setattr(log, "events_after", late)
    assert "eve" not in export(log, timed, now).dataset.user_ids


def test_a_forgotten_session_goes_with_its_events(log: Log) -> None:
    whole = systems.world(sessions=True)
    session = whole.with_ids()["session_id"][0]
    log.forget(session_id=session, now_us=to_us(whole.with_ids()["timestamp"][-1]))
    found = exported(log, whole, whole).dataset
    assert session not in found.with_ids()["session_id"].to_list()
    assert 0 < whole.n_events - found.n_events < 100


def test_an_empty_log_adds_nothing_and_no_times_are_refused(
    log: Log, timed: Dataset, untimed: Dataset
) -> None:
    found = export(log, timed, 0)
    assert (found.n_read, found.dataset.n_events) == (0, timed.n_events)
    with pytest.raises(DataError, match="no times"):
        export(log, untimed, 0)


def test_what_the_service_was_told_of_items_and_people_goes_along(log: Log) -> None:
    events = pl.DataFrame(
        {"user_id": ["ann", "bob"], "item_id": ["a", "b"], "timestamp": [1_000_000, 2_000_000]}
    ).with_columns(pl.from_epoch("timestamp", "us"))
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})
    users = pl.DataFrame({"user_id": ["ann", "bob"], "country": ["de", "fr"], "age": [30, 40]})
    old = Dataset.build(events, items=items, users=users)
    log.catalogue.put_items([Item("a", {"title": "Ah"}), Item("new", {"title": "New"})], 1)
    log.append([NewEvent("new", 3_000_000, "bob")], 3_000_000)
    log.forget(user_id="ann", now_us=4_000_000)
    log.append([NewEvent("new", 5_000_000, "ann")], 5_000_000)  # she came back
    log.catalogue.put_users([User("ann", {"country": "it"})], 5_000_000)
    found = export(log, old, 6_000_000).dataset
    titles = dict(zip(found.item_ids.ids, found.items["title"], strict=True))
    assert titles == {"a": "Ah", "b": "B", "new": "New"}
    people = dict(zip(found.user_ids.ids, found.users.select("country", "age").rows(), strict=True))
    assert people == {"bob": ("fr", 40), "ann": ("it", None)}  # her age was forgotten
