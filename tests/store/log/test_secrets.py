"""What must not be in the files, and what must come out of them unchanged."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect

from crossfade.errors import DataError
from crossfade.store.log import Impression, ImpressionItem, Log, NewEvent
from crossfade.store.log.tables import metadata

NOW = 1_700_000_000_000_000


# -- what is gone --------------------------------------------------------------------------


def n_found(folder: Path, text: str) -> int:
    return sum(file.read_bytes().count(text.encode()) for file in folder.iterdir())


def fill(log: Log, users: list[str], seed: int) -> None:
    """Rows of many users side by side, some longer than a page, so that pages split and overflow."""
    rng = random.Random(seed)
    for _ in range(12):
        batch = []
        for _ in range(20):
            user, key = rng.choice(users), f"{rng.getrandbits(64):016x}"
            note = {"note": user * rng.choice([1, 20, 400])}
            session = f"s-{user}-{key[0]}"
            batch.append(NewEvent("t", NOW, user, session, context=note, key=f"{user}-{key}"))
        log.append(batch, NOW)
        user, request_id = rng.choice(users), f"{rng.getrandbits(64):016x}"
        items = [ImpressionItem(f"t-{user}", place, 0.5) for place in range(1, rng.choice([2, 99]))]
        log.add_impressions([Impression(f"{user}-{request_id}", NOW, "v", "blend", items, user)])


def test_of_a_forgotten_person_no_byte_is_left_in_the_files(tmp_path: Path) -> None:
    users = [f"user-{random.Random(n).getrandbits(64):016x}" for n in range(30)]
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        for seed, user in enumerate(users[:4]):
            fill(log, users[seed:], seed)
            assert n_found(tmp_path, user) > 0
            assert log.forget(user_id=user, now_us=NOW).wiped
            assert n_found(tmp_path, user) == 0
        assert n_found(tmp_path, users[4]) > 0


def test_who_still_reads_an_older_state_keeps_its_bytes_and_forget_says_so(tmp_path: Path) -> None:
    log = Log.open(f"sqlite:///{tmp_path / 'log.db'}?timeout=0.05")
    log.append([NewEvent("t", NOW, "user-4711")], NOW)
    reader = create_engine(f"sqlite:///{tmp_path / 'log.db'}").connect()
    reader.exec_driver_sql("BEGIN")
    reader.exec_driver_sql("SELECT * FROM events").fetchall()
    done = log.forget(user_id="user-4711", now_us=NOW)
    assert (done.events, done.wiped) == (1, False)
    assert n_found(tmp_path, "user-4711") > 0
    reader.close()
    reader.engine.dispose()
    log.close()
    assert n_found(tmp_path, "user-4711") == 0


def test_no_file_holds_what_a_key_is_made_of(tmp_path: Path) -> None:
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        presented = log.add_key("shop", "admin", NOW)
        _, id_, secret = presented.split("_")
        assert n_found(tmp_path, id_) > 0
        assert n_found(tmp_path, secret) == 0
        assert secret not in repr(log.keys())
    assert n_found(tmp_path, secret) == 0


# -- what comes back -----------------------------------------------------------------------

NASTY = [
    "'; DROP TABLE events; --",
    "\" OR 1=1 --",
    "%s %(user_id)s :user_id ? $1 {integer} \\",
    "{{ 7 * 7 }} <script>alert(1)</script>",
    "\r\nERROR forged line\t\x1b[31m",
    "naïve 音楽 🎧 \u202e",
    " ",
    "ä" * 512,
    "🎧" * 512,
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_no_text_means_anything_to_the_database(log: Log, text: str) -> None:
    event = NewEvent(text, NOW, text, text, text, context={text: text}, request_id=text, key=text)
    item = ImpressionItem(text, 1, 0.5, weights={text: 1.0})
    impression = Impression(text, NOW, text, text, [item], text, text, text, text)
    log.append([event, event], NOW)
    log.add_impressions([impression])
    presented = log.add_key(text, "read", NOW)
    assert [stored.event for stored in log.events_of(user_id=text, session_id=text)] == [event]
    assert log.impression(text) == impression
    key = log.key(presented, NOW)
    assert key is not None
    assert key.name == text
    assert not log.revoke_key(text, NOW)
    assert log.key(text, NOW) is None
    assert log.forget(user_id=text, now_us=NOW).events == 1
    assert log.forget(user_id="' OR ''='", now_us=NOW).events == 0


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)


NAMES = st.text(min_size=1, max_size=5, alphabet="aé🎧")


@settings(max_examples=40, deadline=None)
@given(NUMBERS, WHOLE, WHOLE.map(abs), st.dictionaries(NAMES, NUMBERS | st.text()))
def test_any_number_and_any_context_comes_back_as_it_was(
    kept: Log, value: float, time_us: int, played_ms: int, context: dict[str, Any]
) -> None:
    event = NewEvent("t", time_us, "ann", value=value, played_ms=played_ms, context=context)
    (done,) = kept.append([event], time_us)
    (stored,) = kept.events_after(done.sequence - 1, 1)
    assert stored.event == event
    assert stored.received_us == time_us


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Log.open(f"sqlite:///{tmp_path_factory.mktemp('log') / 'log.db'}") as opened:
        yield opened


# -- what is refused before any database sees it -------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NewEvent("", 0, "ann"), "item_id cannot be kept, got ''; give a text of 1 to 512"),
        (lambda: NewEvent("t" * 513, 0, "ann"), "give a text of 1 to 512 characters"),
        (lambda: NewEvent("t", 0), "neither user_id nor session_id is given; give at least one"),
        (lambda: NewEvent("t", 0, "a\0"), "user_id cannot be kept, got 'a\\x00'; take out NUL"),
        (lambda: NewEvent("t", 0, "ann", key="\ud800"), "key cannot be kept, got '\\ud800'"),
        (lambda: NewEvent("t", 2**63, "ann"), "time_us must be a whole number"),
        (lambda: NewEvent("t", True, "ann"), "time_us must be a whole number"),
        (lambda: NewEvent("t", 0.5, "ann"), "time_us must be a whole number"),  # type: ignore[arg-type]
        (lambda: NewEvent("t", 10**5000, "ann"), "got a number of many digits"),
        (lambda: NewEvent("t", 0, "ann", value=float("nan")), "value must be a finite number, got nan"),
        (lambda: NewEvent("t", 0, "ann", value=10**400), "value must be a finite number"),
        (lambda: NewEvent("t", 0, "ann", played_ms=-1), "played_ms must be a whole number from 0"),
        (lambda: NewEvent("t", 0, "ann", skipped=1), "skipped must be true or false, got 1"),  # type: ignore[arg-type]
        (lambda: NewEvent("t", 0, "ann", context={"x": float("inf")}), 'context "x" must be a finite number'),
        (lambda: NewEvent("t", 0, "ann", context={"x": [1]}), 'context "x" must be a finite number, got [1]'),  # type: ignore[dict-item]
        (lambda: ImpressionItem("t", 0, 0.5), "place must be a whole number from 1"),
        (lambda: ImpressionItem("t", 1, float("nan")), "score must be a finite number"),
        (lambda: ImpressionItem("t", 1, 0.5, weights={"ease": float("nan")}), "weight of ease must be"),
        (lambda: Impression("r", 0, "", "blend", []), "version cannot be kept"),
        (lambda: Impression("r", 0, "v", "blend", [], arm=""), "arm cannot be kept"),
    ],
)  # fmt: skip
def test_what_no_database_keeps_is_refused_with_the_mend(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(DataError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# -- schema --------------------------------------------------------------------------------


FAMILIES = {"BIGINT": "whole", "INTEGER": "whole", "REAL": "real", "DOUBLE": "real", "DOUBLE PRECISION": "real",
    "TEXT": "text", "BOOLEAN": "boolean", "BLOB": "bytes", "BYTEA": "bytes"}  # fmt: skip


def test_the_steps_make_the_tables_that_queries_see(log: Log, url: str) -> None:
    log.close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    there = inspect(engine)
    for name, table in metadata.tables.items():
        types = {
            c["name"]: str(c["type"]).partition(" COLLATE")[0] for c in there.get_columns(name)
        }
        made = [(column, FAMILIES[kind]) for column, kind in types.items()]
        seen = [(column.name, FAMILIES[str(column.type)]) for column in table.columns]
        assert made == seen
        primary = there.get_pk_constraint(name)["constrained_columns"]
        assert primary == [column.name for column in table.primary_key]
    engine.dispose()
