"""What was told of items and users between fits, as rows of the next data set."""

from datetime import date
from pathlib import Path

import polars as pl

from crossfade.data import Dataset
from crossfade.online import catalogue
from crossfade.online.catalogue import kept_rows
from crossfade.store.log import Item, Log, User

EVENTS = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "b"]})
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "rating": [1.0, 2.0]})
USERS = pl.DataFrame({"user_id": ["ann"], "country": ["de"]})


def test_what_was_told_goes_over_what_the_data_set_says_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    dataset = Dataset.build(EVENTS, items=ITEMS, users=USERS)
    song: dict[str, str | float | list[str]] = {
        "title": "C",
        "genres": ["jazz"],
        "release_date": "2024-05-01",
        "energy": 0.5,
    }
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        log.catalogue.put_items([Item("a", {}, available=False), Item("gone")], 1)
        log.catalogue.put_items([Item("b", {"title": "Bee", "rating": "good"})], 1)
        log.catalogue.put_items([Item("c", {**song, "rating": 3.0, "colour": "blue"})], 1)
        log.catalogue.delete_item("gone", 2)
        log.catalogue.put_users([User("ann", {"age": 3.0}), User("cid", {"country": "fr"})], 1)
        items, users = kept_rows(log, dataset)
    assert items["item_id"].to_list() == ["a", "b", "c"]
    assert items["title"].to_list() == ["A", "Bee", "C"]
    assert items["rating"].to_list() == [1.0, 2.0, 3.0]  # "good" is no number
    assert items["genres"].to_list() == [None, None, ["jazz"]]
    assert items["release_date"].to_list() == [None, None, date(2024, 5, 1)]
    assert {"colour", "moods"}.isdisjoint(items.columns)
    assert users.rows() == [("ann", "de"), ("cid", "fr")]
    Dataset.build(EVENTS, items=items, users=users)  # takes them


def test_pages_are_joined_and_nothing_kept_is_nothing(tmp_path: Path) -> None:
    dataset = Dataset.build(EVENTS)
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        items, users = kept_rows(log, dataset)
        assert (items.height, users.height) == (0, 0)
        n = catalogue.PAGE + 1
        log.catalogue.put_items([Item(f"{row:06}") for row in range(n)], 1)
        items, _ = kept_rows(log, dataset)
    assert items["item_id"].to_list() == [f"{row:06}" for row in range(n)]
