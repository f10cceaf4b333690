"""Tables by mapping: what is read, how it is spelt, what a join brings."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import validate
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, delimited, import_table, mapping_from_flags
from crossfade.errors import ConfigError, DataError
from crossfade.features.audio import AudioFeatures, Source

ROWS = [("ann", "a", "2020-01-02", "4"), ("bob", "b", "2020-01-01", "")]
FIELDS = ("user_id", "item_id", "timestamp", "value")


def as_text(kind: str) -> bytes:
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        return "".join(mark.join(row) + "\n" for row in [FIELDS, *ROWS]).encode()
    records = [dict(zip(FIELDS, row, strict=True)) for row in ROWS]
    if kind == "json":
        return json.dumps(records).encode()
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "csv.gz", "parquet"])
def test_every_kind_of_file_gives_the_same_data_set(
    import_log: Any, pairs: Any, tmp_path: Path, kind: str
) -> None:
    if kind == "parquet":
        frame = pl.DataFrame(ROWS, schema=list(FIELDS), orient="row")
        frame.with_columns(pl.col("value").cast(pl.Int8, strict=False)).write_parquet(
            tmp_path / "made.parquet"
        )
        text = (tmp_path / "made.parquet").read_bytes()
    else:
        text = as_text(kind.removesuffix(".gz"))
        text = gzip.compress(text) if kind.endswith(".gz") else text
    _, data = import_log(text, name=f"log.{kind}")
    assert pairs(data) == [("bob", "b"), ("ann", "a")]  # by time
    assert data.events["value"].to_list() == [None, 4.0]


def test_a_mapping_names_columns_and_a_target(import_log: Any) -> None:
    report, data = import_log(
        "who,what,when,stars\nann,a,1577836800,3\nann,b,1577836801,5\n",
        "events.user_id=who",
        "events.item_id=what",
        "events.timestamp=when",
        "events.value=stars",
        "target.min_value=4",
    )
    assert data.events["strength"].to_list() == [0.0, 1.0]
    assert report.n_positives == 1
    assert data.target.min_value == 4.0


def test_a_guessed_audio_value_is_still_a_guess_after_an_import(import_log: Any) -> None:
    _, data = import_log(
        "user_id,item_id,timestamp\nann,a,2020-01-01\nann,b,2020-01-02\n",
        items="item_id,energy,energy_sigma,energy_source\na,0.4,0.2,predicted\nb,0.9,,\n",
    )
    audio = AudioFeatures.from_items(data.items)
    assert audio.source[:, 0].tolist() == [Source.PREDICTED, Source.ACTUAL]
    assert audio.sigma[:, 0].tolist() == pytest.approx([0.2, 0.0])


def test_flags_that_make_no_sense_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        mapping_from_flags("log.csv", maps=("timestamp=when", "items.title=name"))
    assert '"timestamp=when" is no mapping' in str(caught.value)
    assert '"items.title=name" names items, which has no file; add --items FILE' in str(
        caught.value
    )


def test_a_misspelt_setting_of_a_mapping_file_is_refused(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "map.toml"
    path.write_text('[events]\nfile = "log.csv"\ndelimeter = ";"\n')
    with pytest.raises(ConfigError, match=r"events.delimeter is not a setting"):
        import_table(path, tmp_path / "data", now=now)


def test_quoted_values_may_hold_delimiters_quotes_and_line_breaks(
    import_log: Any, pairs: Any
) -> None:
    text = 'user_id,item_id\n"ann, b.","a ""x"""\n"bob","two\nlines"\ncid,plain\n'
    _, data = import_log(text)
    assert pairs(data) == [("ann, b.", 'a "x"'), ("bob", "two\nlines"), ("cid", "plain")]


def test_lines_are_counted_through_quoted_line_breaks(import_log: Any, left_out: Any) -> None:
    report, _ = import_log('user_id,item_id\nann,"two\nlines"\n,b\nbob,c\n', on_error="skip")
    assert [row["number"] for row in left_out(report)] == [4]


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_are_no_matter(
    import_log: Any, pairs: Any
) -> None:
    text = "user_id,item_id\r\nann,a\r\n\r\nbob,b".encode("utf-8-sig")
    report, data = import_log(text)
    assert pairs(data) == [("ann", "a"), ("bob", "b")]
    assert report.n_read == 2


def test_a_long_delimiter_and_another_encoding_are_settings(
    tmp_path: Path, now: datetime, pairs: Any
) -> None:
    (tmp_path / "log.dat").write_bytes("zoë::a\nbob::b::c\n".encode("latin-1"))
    values = {
        "events": {
            "file": "log.dat",
            "kind": "csv",
            "delimiter": "::",
            "encoding": "latin-1",
            "header": ["user_id", "item_id"],
        }
    }
    report = import_table(
        validate(ImportMapping, values, "test"),
        tmp_path / "data",
        now=now,
        root=tmp_path,
        on_error="skip",
    )
    assert pairs(load_dataset(tmp_path / "data")) == [("zoë", "a")]
    assert report.side_file is not None
    assert json.loads(report.side_file.read_text())["row"] == "bob::b::c"


def test_small_blocks_change_nothing(
    import_log: Any, pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfade.data.importing.blocks.BLOCK_BYTES", 37)
    rows = [(f"user{n % 7}", f"item{n}") for n in range(100)]
    text = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item in rows)
    _, data = import_log(text.replace("user3,item3\n", '"user3",item3\n'))
    assert pairs(data) == rows


@pytest.mark.parametrize("size", [20, 29, 37, 64])
def test_a_quoted_value_may_span_blocks(
    import_log: Any, pairs: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("crossfade.data.importing.blocks.BLOCK_BYTES", size)
    rows = [(f"user{n}", f"two\nlines {n}" if n % 3 == 0 else f"item{n}") for n in range(30)]
    text = "".join(f'{user},"{item}"\n' for user, item in rows)
    report, data = import_log("user_id,item_id\n" + text + "bad\n", on_error="skip")
    assert pairs(data) == rows
    # 1 header, 30 rows of which 10 have two lines: the bad row is line 42.
    assert report.problems[0].where == "log.csv: line 42"


ids = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(
    lambda text: text.strip() != ""
)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=8, unique=True))
def test_whatever_csv_can_hold_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Any ids written by the standard library's csv are read again, blanks at the ends aside."""
    import csv

    folder = tmp_path_factory.mktemp("csv")
    with (folder / "log.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id"), *rows])
    mapping = mapping_from_flags(str(folder / "log.csv"))
    now = datetime(2024, 1, 1, tzinfo=UTC)
    mapping = mapping.model_copy(update={"duplicates": "keep"})
    import_table(mapping, folder / "data", now=now)
    data = load_dataset(folder / "data")
    users = data.user_ids.decode(data.events["user_row"].to_numpy())
    items = data.item_ids.decode(data.events["item_row"].to_numpy())
    assert list(zip(users, items, strict=True)) == [
        (pl.Series([u]).str.strip_chars()[0], pl.Series([i]).str.strip_chars()[0]) for u, i in rows
    ]


def mapping_of(**values: Any) -> ImportMapping:
    return validate(ImportMapping, values, "test")


def test_a_join_unites_genres_and_brings_audio(tmp_path: Path, now: datetime) -> None:
    pl.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 20, 30]}).write_parquet(
        tmp_path / "log.parquet"
    )
    pl.DataFrame(
        {
            "item_id": [10, 20, 30],
            "artist_key": ["abba", "beck", None],
            "categories": [["Pop", "CDs"], [], ["Rock"]],
        }
    ).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame(
        {
            "artist_key": ["abba", "abba", "cher"],
            "genres": [["swedish pop", "pop"], ["never"], ["disco"]],
            "energy": [0.5, 0.9, 0.1],
        }
    ).write_parquet(tmp_path / "artists.parquet")
    mapping = mapping_of(
        events={"file": "log.parquet"},
        items={
            "file": "items.parquet",
            "columns": {"genres": ["categories", "artists.genres"], "energy": "artists.energy"},
            "joins": [{"name": "artists", "file": "artists.parquet", "on": "artist_key"}],
        },
    )
    import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    items = load_dataset(tmp_path / "data").items
    assert items["genres"].to_list() == [["cds", "pop", "swedish pop"], None, ["rock"]]
    assert items["energy"].to_list() == [0.5, None, None]


def test_a_join_without_its_column_is_named(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\nann,a\n")
    (tmp_path / "other.csv").write_text("key,colour\na,red\n")
    mapping = mapping_of(
        events={"file": "log.csv"},
        items={
            "columns": {"genres": "other.genre"},
            "joins": [{"name": "other", "file": "other.csv", "on": "key", "key": "item_id"}],
        },
    )
    with pytest.raises(Exception, match=r"other.csv: no column genre; the columns are key, colour"):
        import_table(mapping, tmp_path / "data", now=now, root=tmp_path)


def test_items_can_come_from_the_events_first_mention_wins(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,name\nann,a,Alpha\nbob,b,\nbob,a,Other\n")
    mapping = mapping_of(events={"file": "log.csv"}, items={"columns": {"title": "name"}})
    import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    assert load_dataset(tmp_path / "data").items.rows() == [("a", "Alpha"), ("b", None)]


def test_position_in_a_show_orders_a_day(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,day,place\nann,b,2020-05-01,2\nann,a,2020-05-01,1\n"
    )
    mapping = mapping_of(
        events={
            "file": "log.csv",
            "columns": {
                "timestamp": {"column": "day", "plus": "place"},
                "session_id": ["user_id", "day"],
            },
        }
    )
    import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    events = load_dataset(tmp_path / "data").events
    assert events["timestamp"].to_list() == [
        datetime(2020, 5, 1, 0, 0, 1, tzinfo=UTC),
        datetime(2020, 5, 1, 0, 0, 2, tzinfo=UTC),
    ]
    assert events["session_id"].to_list() == ["ann 2020-05-01"] * 2


PLUS = {"timestamp": {"column": "start", "plus": "offset"}}


def test_large_offsets_are_exact_to_the_second(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,start,offset\nann,a,2020-01-01,100000001\nann,b,2020-01-01,\n"
    )
    mapping = mapping_of(events={"file": "log.csv", "columns": PLUS})
    import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    events = load_dataset(tmp_path / "data").events
    assert events["timestamp"].to_list() == [start, start + timedelta(seconds=100_000_001)]


@pytest.mark.parametrize("offset", ["inf", "-inf", "1e300", "1e12", "200000000", "-9000000000"])
def test_an_offset_that_leads_out_of_all_reason_is_a_fault(
    offset: str, tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "log.csv").write_text(
        f"user_id,item_id,start,offset\nann,a,2020-01-01,5\nann,b,2020-01-01,{offset}\n"
    )
    mapping = mapping_of(events={"file": "log.csv", "columns": PLUS})
    with pytest.raises(DataError) as caught:
        import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    (problem,) = caught.value.problems
    assert (problem.check, problem.where) == ("bad_timestamp", "log.csv: line 3, column offset")


def test_rows_without_a_required_column_are_set_aside_not_faulted(
    tmp_path: Path, now: datetime, left_out: Callable[[Any], list[dict[str, Any]]]
) -> None:
    (tmp_path / "log.csv").write_text("user_id,key\nann,a\nbob,\n")
    mapping = mapping_of(
        events={"file": "log.csv", "columns": {"item_id": "key"}, "require": ["key"]}
    )
    report = import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    assert (report.n_read, report.n_kept, report.set_aside) == (2, 1, {"no key": 1})
    assert left_out(report)[0]["checks"] == ["no key"]


@pytest.mark.parametrize(("rule", "n_kept"), [("keep", 3), ("set_aside", 2)])
def test_repeated_events_can_be_kept_or_set_aside(
    tmp_path: Path, now: datetime, rule: str, n_kept: int
) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\nann,a\nann,a\nann,b\n")
    mapping = mapping_of(events={"file": "log.csv"}, duplicates=rule)
    report = import_table(mapping, tmp_path / "data", now=now, root=tmp_path)
    assert (report.n_kept, sum(report.set_aside.values())) == (n_kept, 3 - n_kept)


def test_the_same_pair_at_another_time_is_no_duplicate(import_log: Any) -> None:
    report, _ = import_log("user_id,item_id,timestamp\nann,a,2020-01-01\nann,a,2020-01-02\n")
    assert report.n_kept == 2


def test_a_rating_set_with_unrated_rows_says_that_they_count(import_log: Any) -> None:
    report, _ = import_log("user_id,item_id,value\nann,a,\nann,b,2\n", "target.min_value=4")
    (warning,) = report.warnings
    assert (warning.check, warning.n_rows) == ("no_rating", 1)


def test_kinds_of_event_that_mean_nothing_to_us_are_told(import_log: Any) -> None:
    log = "user_id,item_id,event\nann,a,Play\nann,b,thumbs down\nann,c,\n"
    report, data = import_log(log)
    (warning,) = report.warnings
    assert (warning.check, warning.n_rows, warning.found) == ("unknown_event", 1, '"thumbs down"')
    assert data.n_events == 3


def test_plays_of_unknown_length_are_counted_where_the_target_asks_for_one(import_log: Any) -> None:
    report, _ = import_log("user_id,item_id\nann,a\nann,b\n", "target.min_played_ms=30000")
    (warning,) = report.warnings
    assert (warning.check, warning.n_rows) == ("no_played_ms", 2)
    assert warning.mend.endswith("asks for 30000 ms or more")


def test_a_column_that_nobody_would_read_is_refused(import_log: Any) -> None:
    log = "user_id,item_id,when,s\nann,a,2020-01-01,1\n"
    with pytest.raises(ConfigError) as caught:
        import_log(log, "events.timestmp=when", "events.skiped=s", "events.context_s=s")
    message = str(caught.value)
    assert "events.timestmp is no column of ours; choose from user_id, item_id, time" in message
    assert "events.skiped is no column" in message
    assert "context_s" not in message


def test_a_column_mapped_twice_is_refused(import_log: Any) -> None:
    with pytest.raises(ConfigError, match=r'"events.value=b" comes after events.value=a; give it'):
        import_log("user_id,item_id\n", "events.value=a", "events.value=b")


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_a_folder_is_no_file_of_any_kind(kind: str, tmp_path: Path, now: datetime) -> None:
    (tmp_path / f"log.{kind}").mkdir()
    mapping = mapping_from_flags(str(tmp_path / f"log.{kind}"))
    with pytest.raises(DataError, match="missing_file"):
        import_table(mapping, tmp_path / "data", now=now)
    (tmp_path / "note").write_text("")
    mapping = mapping_from_flags(str(tmp_path / "note" / f"log.{kind}"))
    with pytest.raises(DataError, match="missing_file"):
        import_table(mapping, tmp_path / "data", now=now)


def test_the_manifest_keeps_what_the_import_found(import_log: Any) -> None:
    report, _ = import_log("user_id,item_id\nann,a\n,b\n", on_error="skip")
    manifest = json.loads((report.directory / "manifest.json").read_text())
    source = manifest["source"]
    assert (source["n_read"], source["n_kept"], source["n_skipped"]) == (2, 1, 1)
    assert source["problems"][0]["check"] == "empty_id"
    assert "skipped.jsonl" in manifest["files"]


def test_an_id_that_only_a_skipped_row_has_is_not_in_the_data(import_log: Any) -> None:
    text = "user_id,item_id,timestamp\nann,a,2020-01-01\ncid,a,never\n"
    _, data = import_log(text, on_error="skip")
    assert data.user_ids.ids.to_list() == ["ann"]


def test_the_plain_path_is_taken_for_plain_files(
    import_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a plain file went down the careful path")

    monkeypatch.setattr(delimited._Reader, "_line_by_line", never)
    monkeypatch.setattr(delimited._Reader, "_quoted", never)
    text = 'user_id,item_id\nann,a\n"b ""o"" b","b, c"\ncid,"c"\n'
    report, data = import_log(text)
    assert report.n_kept == 3
    assert data.user_ids.ids.to_list() == ["ann", 'b "o" b', "cid"]
    assert data.item_ids.ids.to_list() == ["a", "b, c", "c"]


ODD_COLUMNS = {
    "bytes that are no text": pl.Series([b"\xff", b"\xfe"]),
    "structs": pl.Series([{"a": 1}, {"a": 2}]),
    "arrays": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    "durations": pl.Series([timedelta(1), timedelta(2)]),
    "lists of structs": pl.Series([[{"a": 1}], [{"a": 2}]]),
}


@pytest.mark.parametrize("kind", ODD_COLUMNS)
@pytest.mark.parametrize(
    "column", ["user_id", "timestamp", "event", "value", "played_ms", "skipped", "session_id"]
)
def test_a_parquet_column_of_a_type_that_means_nothing_is_one_message(
    kind: str, column: str, tmp_path: Path, now: datetime
) -> None:
    log = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "b"]})
    log.with_columns(ODD_COLUMNS[kind].alias(column)).write_parquet(tmp_path / "log.parquet")
    mapping = mapping_from_flags(str(tmp_path / "log.parquet"))
    with pytest.raises(DataError) as caught:
        import_table(mapping, tmp_path / "data", now=now)
    expected = "wrong_encoding" if kind.startswith("bytes") else "mixed_types"
    problem = next(p for p in caught.value.problems if p.check == expected)
    assert problem.n_rows == 2
    assert f"row 1, column {column}" in problem.where


def test_categories_and_bytes_of_a_parquet_file_are_text(tmp_path: Path, now: datetime) -> None:
    pl.DataFrame(
        {
            "user_id": pl.Series([b"ann", "zo\N{LATIN SMALL LETTER E WITH DIAERESIS}".encode()]),
            "item_id": pl.Series(["a", "b"], dtype=pl.Categorical),
            "timestamp": pl.Series(["2020-01-01", "2020-01-02"], dtype=pl.Categorical),
            "value": pl.Series(["4", "5"], dtype=pl.Enum(["4", "5"])),
        }
    ).write_parquet(tmp_path / "log.parquet")
    import_table(mapping_from_flags(str(tmp_path / "log.parquet")), tmp_path / "data", now=now)
    data = load_dataset(tmp_path / "data")
    assert data.user_ids.ids.to_list() == ["ann", "zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"]
    assert data.item_ids.ids.to_list() == ["a", "b"]
    assert data.events["value"].to_list() == [4.0, 5.0]
    assert data.events["timestamp"].dt.day().to_list() == [1, 2]
