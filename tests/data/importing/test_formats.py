"""Each source format, from small files in the layout its publisher uses."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportReport, import_source
from crossfade.errors import ConfigError, DataError

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def write(folder: Path, files: dict[str, str], encoding: str = "utf-8") -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
    return folder


def load(
    kind: str, source: Path, tmp_path: Path, on_error: Any = "fail"
) -> tuple[ImportReport, Dataset]:
    report = import_source(kind, source, tmp_path / "data", now=NOW, on_error=on_error)
    return report, load_dataset(report.directory)


def log(data: Dataset) -> list[tuple[str, str]]:
    users = data.user_ids.decode(data.events["user_row"].to_numpy())
    items = data.item_ids.decode(data.events["item_row"].to_numpy())
    return list(zip(users, items, strict=True))


def item(data: Dataset, item_id: str) -> dict[str, Any]:
    return data.items.row(data.item_ids.row(item_id), named=True)


def play(ts: str, ms: int, track: str | None = "1", **more: Any) -> dict[str, Any]:
    return {
        "ts": ts,
        "platform": "android",
        "ms_played": ms,
        "conn_country": "NL",
        "ip_addr": "192.0.2.7",
        "master_metadata_track_name": None if track is None else f"Song {track}",
        "master_metadata_album_artist_name": None if track is None else "Cher",
        "master_metadata_album_album_name": None if track is None else "Believe",
        "spotify_track_uri": None if track is None else f"spotify:track:{track}",
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": None,
        "offline": False,
        "incognito_mode": False,
        **more,
    }


def test_spotify_plays_start_when_they_start_and_podcasts_are_set_aside(tmp_path: Path) -> None:
    history = [
        play("2023-01-05T12:03:00Z", 180_000),
        play("2023-01-05T12:04:00Z", 5_000, "2", skipped=True),
        play("2023-01-05T12:30:00Z", 60_000, None, episode_name="Talk", spotify_episode_uri="e:1"),
        play("2023-01-05T12:40:00Z", 60_000, None),
    ]
    files = {"ann/Streaming_History_Audio_2023_0.json": json.dumps(history)}
    files["ben/Spotify Extended Streaming History/Streaming_History_Audio_2022-2023_1.json"] = (
        json.dumps([play("2023-01-06T08:00:40Z", 40_000)])
    )
    files["ann/Streaming_History_Video_2023.json"] = "not read"
    report, data = load("spotify-history", write(tmp_path / "in", files), tmp_path)
    assert log(data) == [
        ("ann", "spotify:track:1"),
        ("ann", "spotify:track:2"),
        ("ben", "spotify:track:1"),
    ]
    assert data.events["timestamp"][0] == datetime(2023, 1, 5, 12, 0, tzinfo=UTC)
    assert data.events["strength"].to_list() == [1.0, 0.0, 1.0]
    assert data.events["context_platform"].to_list() == ["android"] * 3
    assert report.set_aside == {"podcast": 1, "no_track": 1}
    assert item(data, "spotify:track:2") == {
        "item_id": "spotify:track:2",
        "title": "Song 2",
        "creator": "Cher",
        "creator_id": "Cher",
        "collection": "Believe",
    }
    assert report.side_file is not None
    assert "192.0.2.7" not in report.side_file.read_text()


def test_one_spotify_folder_is_one_person(tmp_path: Path) -> None:
    files = {"Streaming_History_Audio_2023.json": json.dumps([play("2023-01-05T12:03:00Z", 1)])}
    _, data = load("spotify-history", write(tmp_path / "maria", files), tmp_path)
    assert data.user_ids.ids.to_list() == ["maria"]


def test_spotify_repeats_are_set_aside_and_bad_times_named(tmp_path: Path) -> None:
    one = play("2023-01-05T12:03:00Z", 1000)
    files = {"Streaming_History_Audio_0.json": json.dumps([one, one, play("soon", 1000)])}
    source = write(tmp_path / "in", files)
    with pytest.raises(DataError, match=r"bad_timestamp: 1 row, first at .*_0.json: row 3"):
        load("spotify-history", source, tmp_path)
    report, _ = load("spotify-history", source, tmp_path, "skip")
    assert (report.n_kept, report.n_skipped, report.set_aside) == (1, 1, {"duplicate_event": 1})


def test_a_folder_without_history_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no Streaming_History_Audio_\*.json here"):
        load("spotify-history", tmp_path, tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        load("spotify-history", tmp_path / "nowhere", tmp_path)


def listen(at: int, track: str, **info: Any) -> dict[str, Any]:
    return {
        "listened_at": at,
        "track_metadata": {
            "artist_name": "Cher",
            "track_name": track,
            "release_name": "Believe",
            "additional_info": {"recording_msid": f"msid-{at}", **info},
        },
    }


def test_listenbrainz_lines_use_recordings_and_fall_back_to_names(tmp_path: Path) -> None:
    known = listen(1_600_000_000, "Believe", duration_ms=239_000)
    known["track_metadata"]["mbid_mapping"] = {"recording_mbid": "0f0f"}
    lines = [
        known,
        listen(1_600_000_300, "Dov'è l'amore", duration=258),
        listen(1_600_000_600, "dov'è l'amore "),
        {**listen(1_600_000_900, "Believe", recording_mbid="0f0f"), "user_name": "zed"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    source = write(tmp_path / "rob", {"listens/2020/9.jsonl": text, "user.json": "{}"})
    _, data = load("listenbrainz", source / "listens/2020/9.jsonl", tmp_path)
    assert log(data) == [
        ("9", "0f0f"),
        ("9", "cher / dov'è l'amore"),
        ("9", "cher / dov'è l'amore"),
        ("zed", "0f0f"),
    ]
    assert item(data, "0f0f")["duration_ms"] == 239_000
    assert item(data, "cher / dov'è l'amore")["duration_ms"] == 258_000


def test_listenbrainz_older_array_and_the_dumps_timestamp(tmp_path: Path) -> None:
    one = listen(1_600_000_000, "Believe")
    one["timestamp"] = one.pop("listened_at")
    source = write(tmp_path / "rob", {"rob_lb-2020-09-13.json": json.dumps([one])})
    _, data = load("listenbrainz", source, tmp_path)
    assert log(data) == [("rob", "cher / believe")]
    assert data.events["timestamp"][0] == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_lastfm_1k_has_no_header_and_some_tracks_without_id(tmp_path: Path) -> None:
    scrobbles = (
        'user_000001\t2009-05-04T23:08:57Z\tf1b1\tDeep Dish\t\tFuck Me I\'m "Famous"\n'
        "user_000001\t2009-05-04T13:54:10Z\ta7f7\t坂本龍一\tf7c1\tComposition 0919\n"
        "user_000002\t2009-05-05T13:54:10Z\t\tNobody\t\tNothing\n"
    )
    profile = "#id\tgender\tage\tcountry\tregistered\nuser_000001\tm\t\tJapan\tAug 13, 2006\n"
    source = write(
        tmp_path / "in",
        {
            "userid-timestamp-artid-artname-traid-traname.tsv": scrobbles,
            "userid-profile.tsv": profile,
        },
    )
    report, data = load("lastfm-1k", source, tmp_path)
    assert log(data) == [
        ("user_000001", "f7c1"),
        ("user_000001", 'deep dish / fuck me i\'m "famous"'),
        ("user_000002", "nobody / nothing"),
    ]
    assert item(data, "f7c1")["creator"] == "坂本龍一"
    assert item(data, "nobody / nothing")["creator_id"] == "Nobody"
    assert data.users.to_dicts()[0]["country"] == "Japan"
    assert [warning.check for warning in report.warnings] == ["user_not_in_catalogue"]


def test_lastfm_csv_with_a_header(tmp_path: Path) -> None:
    text = (
        "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n"
        '"1420193645","02 Jan 2015, 10:14","Cher","m","Believe","n","Strong ""Enough""","o"\n'
        '"1420193945","02 Jan 2015, 10:19","Cher","","","","Believe",""\n'
    )
    source = write(tmp_path / "in", {"maria.csv": text})
    _, data = load("lastfm-csv", source, tmp_path)
    assert log(data) == [("maria", 'cher / strong "enough"'), ("maria", "cher / believe")]
    assert data.events["timestamp"][0] == datetime(2015, 1, 2, 10, 14, 5, tzinfo=UTC)


def test_lastfm_csv_without_a_header(tmp_path: Path) -> None:
    text = 'Cher,Believe,Strong Enough,"02 Jan 2015, 10:14"\nCher,,Believe,"02 Jan 2015, 10:10"\n'
    source = write(tmp_path / "in", {"maria/scrobbles.csv": text})
    _, data = load("lastfm-csv", source, tmp_path)
    assert log(data) == [("maria", "cher / believe"), ("maria", "cher / strong enough")]
    assert data.events["timestamp"][1] == datetime(2015, 1, 2, 10, 14, tzinfo=UTC)


def test_movielens_100k(tmp_path: Path) -> None:
    flags = "|".join("1" if place in (3, 5) else "0" for place in range(19))
    source = write(
        tmp_path / "ml-100k",
        {
            "u.data": "196\t242\t3\t881250949\n186\t242\t4\t891717742\n",
            "u.item": f"242|Misérables, Les (1995)|01-Jan-1995||http://x|{flags}\n"
            f"243|unknown||||{'|'.join('1' + '0' * 18)}\n",
            "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
        },
        encoding="latin-1",
    )
    report, data = load("movielens", source, tmp_path)
    assert log(data) == [("196", "242"), ("186", "242")]
    assert data.events["strength"].to_list() == [0.0, 1.0]
    assert report.target.min_value == 4.0
    known = item(data, "242")
    assert known["title"] == "Misérables, Les (1995)"
    assert known["genres"] == ["animation", "comedy"]
    assert str(known["release_date"]) == "1995-01-01"
    assert item(data, "243")["genres"] is None
    assert data.users.columns == ["user_id", "age", "gender", "occupation"]


def test_movielens_1m(tmp_path: Path) -> None:
    source = write(
        tmp_path / "ml-1m",
        {
            "ratings.dat": "1::1193::5::978300760\n1::661::3::978302109\n",
            "movies.dat": "1193::One Flew: a Café's Nest (1975)::Drama\n661::James (1996)::Animation|Children's\n",
            "users.dat": "1::F::1::10::48067\n",
        },
        encoding="latin-1",
    )
    _, data = load("movielens", source, tmp_path)
    assert log(data) == [("1", "1193"), ("1", "661")]
    assert item(data, "1193")["title"] == "One Flew: a Café's Nest (1975)"
    assert str(item(data, "1193")["release_date"]) == "1975-01-01"
    assert item(data, "661")["genres"] == ["animation", "children's"]


def test_movielens_latest_with_tags(tmp_path: Path) -> None:
    source = write(
        tmp_path / "ml-latest-small",
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,11,3.5,964981247\n",
            "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Adventure|Comedy\n"
            '11,"American President, The (1995)",(no genres listed)\n',
            "tags.csv": 'userId,movieId,tag,timestamp\n1,1,"pixar, fun",1445714994\n',
        },
    )
    _, data = load("movielens", source, tmp_path)
    assert log(data) == [("1", "11"), ("1", "1")]
    assert item(data, "11")["title"] == "American President, The (1995)"
    assert item(data, "11")["genres"] is None
    assert data.taggings is not None
    assert data.taggings["tag"].to_list() == ["pixar, fun"]


def test_a_folder_that_is_no_movielens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no u.data, ratings.dat or ratings.csv here"):
        load("movielens", tmp_path, tmp_path)


def test_hetrec_keeps_tags_as_taggings_and_out_of_the_catalogue(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in",
        {
            "user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t1\n3\t51\t10\n",
            "artists.dat": 'id\tname\turl\tpictureURL\n51\tDuran "D" Duran\thttp://l\t\n52\tMorcheeba\thttp://m\t\n',
            "user_taggedartists-timestamps.dat": "userID\tartistID\ttagID\ttimestamp\n"
            "2\t52\t13\t1238536800000\n3\t51\t13\t-428720400000\n9\t51\t13\t1238536800000\n",
            "user_friends.dat": "userID\tfriendID\n2\t3\n3\t2\n",
        },
    )
    write(source, {"tags.dat": "tagID\ttagValue\n13\tchillout é\n"}, encoding="latin-1")
    report, data = load("hetrec-lastfm", source, tmp_path)
    assert not data.has_times
    assert data.events["strength"].to_list() == pytest.approx([9.5385, 0.6931, 2.3979], abs=1e-4)
    assert "genres" not in data.items.columns
    assert data.taggings is not None
    assert data.taggings["tag"].to_list() == ["chillout é"] * 2
    times = data.taggings["timestamp"].to_list()
    assert times == [datetime(2009, 3, 31, 22, 0, tzinfo=UTC), None]
    assert {w.check: w.n_rows for w in report.warnings} == {
        "bad_timestamp": 1,
        "taggings_of_unknown": 1,
    }
    assert data.friends is not None
    assert data.friends.rows() == [(0, 1), (1, 0)]


def test_30music_sessions_become_plays_with_their_own_times(tmp_path: Path) -> None:
    links = {
        "subjects": [{"type": "user", "id": 44361}],
        "objects": [
            {
                "type": "track",
                "id": 1,
                "playstart": 0,
                "playtime": 239,
                "playratio": 0.9,
                "action": "play",
            },
            {
                "type": "track",
                "id": 2,
                "playstart": 239,
                "playtime": -1,
                "playratio": None,
                "action": "skip",
            },
        ],
    }
    sessions = (
        f'event.session\t287144\t1390231051\t{{"numtracks":2,"playtime":300}} {json.dumps(links)}\n'
    )
    track = {
        "duration": 240000,
        "playcount": 4,
        "MBID": None,
        "name": "Cher/_/Strong+Enough+%281%29",
    }
    tracks = f'track\t1\t-1\t{json.dumps(track)}\t{{"artists":[{{"type":"person","id":7}}],"albums":[]}}\n'
    tracks += 'track\t2\t-1\t{"duration":-1,"name":"Cher/_/Believe"}\t{"artists":[],"albums":[],"tags":[]}\n'
    source = write(
        tmp_path / "in",
        {
            "relations/sessions.idomaar": sessions + "event.session\tbroken\n",
            "entities/tracks.idomaar": tracks,
            "entities/persons.idomaar": 'person\t7\t-1\t{"name":"Cher+Bono","MBID":""}\t{}\n',
            "entities/users.idomaar": 'user\t44361\t1116715959\t{"gender":"f","age":-1,"country":"US"}\t{}\n',
        },
    )
    with pytest.raises(DataError, match=r"bad_line: 1 row, first at sessions.idomaar: line 2"):
        load("30music", source, tmp_path)
    _, data = load("30music", source, tmp_path, "skip")
    assert log(data) == [("44361", "1"), ("44361", "2")]
    events = data.events
    assert [t.timestamp() for t in events["timestamp"]] == [1390231051, 1390231290]
    assert events["session_id"].to_list() == ["287144", "287144"]
    assert events["played_ms"].to_list() == [239_000, None]
    assert events["strength"].to_list() == [1.0, 0.0]
    assert events["skipped"].to_list() == [False, True]
    assert item(data, "1")["title"] == "Strong Enough (1)"
    assert item(data, "1")["creator"] == "Cher Bono"
    assert item(data, "2")["duration_ms"] is None
    assert data.users.to_dicts() == [
        {"user_id": "44361", "gender": "f", "age": None, "country": "US"}
    ]


def test_recbole_atomic_files(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in",
        {
            "ml.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            "196\t242\t3.0\t881250949.0\n186\t242\t4\t891717742\n",
            "ml.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "242\tKolya\t1996\tComedy Drama\n",
            "ml.user": "user_id:token\tage:token\tgender:token\n196\t49\tM\n186\t39\tF\n",
        },
    )
    report, data = load("recbole", source, tmp_path)
    assert log(data) == [("196", "242"), ("186", "242")]
    assert data.events["strength"].to_list() == [0.0, 1.0]
    assert item(data, "242")["genres"] == ["comedy", "drama"]
    assert str(item(data, "242")["release_date"]) == "1996-01-01"
    assert data.users["age"].to_list() == ["39", "49"]
    assert report.name == "ml"


def test_goodbooks_keeps_site_ratings_as_snapshots(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in",
        {
            "ratings.csv": "user_id,book_id,rating\n1,258,5\n2,258,3\n",
            "books.csv": "book_id,goodreads_book_id,isbn,authors,original_publication_year,"
            "original_title,title,language_code,average_rating,ratings_count\n"
            '258,9,143034901,"Carlos Ruiz Zafón, Lucia Graves",2001.0,La sombra,The Shadow,eng,4.24,263685\n'
            "7,10,1,Homer,-720.0,,The Odyssey,eng,3.73,1\n",
        },
    )
    _, data = load("goodbooks", source, tmp_path)
    assert log(data) == [("1", "258"), ("2", "258")]
    book = item(data, "258")
    assert (book["title"], book["creator"]) == ("The Shadow", "Carlos Ruiz Zafón, Lucia Graves")
    assert str(book["release_date"]) == "2001-01-01"
    assert item(data, "7")["release_date"] is None
    assert "average_rating" not in data.items.columns
    assert book["snapshot_average_rating"] == "4.24"


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match='format "tidal" is unknown; choose one of spotify-history'
    ):
        import_source("tidal", tmp_path, tmp_path / "data", now=NOW)
