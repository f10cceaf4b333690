"""The mappings in configs/, on the real public sets where they are at hand."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
SETS = ROOT / ".." / "shared" / "data"
FOLDERS = {"douban-music": "douban-music-book", "douban-book": "douban-music-book"}
NOW = datetime(2024, 1, 1, tzinfo=UTC)

COUNTS = {
    "amazon-cds": (1_774, 2_672, 84_928),
    "book-crossing": (2_946, 17_384, 272_678),
    "douban-book": (1_588, 6_775, 70_553),
    "douban-music": (1_242, 5_567, 48_287),
    "lastfm-hetrec2011": (1_525, 17_632, 74_710),
    "movielens-100k": (943, 1_682, 100_000),
    "movielens-1m": (6_040, 3_883, 1_000_209),
    "situnes": (30, 946, 2_003),
    "thirtymusic-sessions": (9_938, 9_996, 241_476),
    "wfmu-playlists": (117, 65_544, 179_943),
}
"""Users, items and events that the sets' own description gives (situnes less 3 repeats)."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_mapping_is_valid_and_named_after_its_file(path: Path) -> None:
    assert load_toml(ImportMapping, path).name == path.stem


def test_no_mapping_is_left_untested() -> None:
    assert {path.stem for path in CONFIGS} == set(COUNTS)


def imported(name: str, to: Path) -> Path:
    folder = SETS / FOLDERS.get(name, name)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    import_table(ROOT / "configs" / f"{name}.toml", to, now=NOW, root=folder)
    return to


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_the_public_sets_come_in_whole(name: str, tmp_path: Path) -> None:
    data = load_dataset(imported(name, tmp_path / "data"))
    assert (data.n_users, data.n_items, data.n_events) == COUNTS[name]
    snapshots = {"popularity", "artist_popularity", "followers", "sales_rank"}
    assert not snapshots & set(data.items.columns)


@pytest.mark.real
def test_audio_means_reach_the_plays_their_description_promises(tmp_path: Path) -> None:
    # README of the set: 76.7 % of user-artist pairs have audio means.
    data = load_dataset(imported("lastfm-hetrec2011", tmp_path / "data"))
    known = data.items["energy"].is_not_null()
    assert known.gather(data.events["item_row"]).mean() == pytest.approx(0.767, abs=0.0005)


@pytest.mark.real
def test_a_broadcast_keeps_its_order(tmp_path: Path) -> None:
    data = load_dataset(imported("wfmu-playlists", tmp_path / "data"))
    assert data.events["session_row"].n_unique() == 5_706
    show = data.events.filter(data.events["session_id"] == "AG 2016-06-14").head(3)
    artists = data.item_ids.decode(show["item_row"].to_numpy())
    assert artists == ["abdullah ibrahim", "arthur russell", "jd emmanuel"]
