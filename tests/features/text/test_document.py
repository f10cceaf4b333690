"""One text per item."""

import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.features.text import item_texts
from crossfade.features.text.document import (
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_NAME_CHARACTERS,
)


def titles(*values: str | None) -> pl.DataFrame:
    return pl.DataFrame({"title": values}, schema={"title": pl.String})


def test_an_item_is_one_line_per_value() -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a"],
            "moods": [["calm"]],
            "genres": [["jazz", "hard bop"]],
            "collection": ["Blue Train"],
            "creator": ["John Coltrane"],
            "title": ["Moment's Notice"],
        }
    )
    assert item_texts(items) == ["Moment's Notice\nJohn Coltrane\nBlue Train\njazz\nhard bop\ncalm"]


def test_missing_values_have_no_line() -> None:
    items = pl.DataFrame(
        {
            "title": ["Song", None, None],
            "creator": [None, "Band", None],
            "genres": [["rock", None], None, []],
        },
        schema={"title": pl.String, "creator": pl.String, "genres": pl.List(pl.String)},
    )
    assert item_texts(items) == ["Song\nrock", "Band", ""]


def test_a_catalogue_of_ids_says_nothing() -> None:
    assert item_texts(pl.DataFrame({"item_id": ["a", "b"]})) == ["", ""]


def test_a_catalogue_without_items_has_no_texts() -> None:
    assert item_texts(titles()) == []


@pytest.mark.parametrize("blank", ["", "   ", "\t\n", "\x00\x07", "\u200b\ufeff", "\u3000"])
def test_what_cannot_be_seen_is_nothing(blank: str) -> None:
    assert item_texts(titles(blank)) == [""]


def test_control_characters_inside_a_value_become_one_space() -> None:
    assert item_texts(titles(" Blue\x00\n\t Train \r")) == ["Blue Train"]


@pytest.mark.parametrize("emoji", ["🔥", "👩‍👩‍👧", "❤️", "🇫🇷"])
def test_emoji_are_kept_as_they_are(emoji: str) -> None:
    assert item_texts(titles(emoji)) == [emoji]


def test_long_values_and_lists_are_cut() -> None:
    items = pl.DataFrame({"title": ["x" * 100_000], "genres": [["y" * 1_000] * 1_000]})
    title, *genres = item_texts(items)[0].split("\n")
    assert title == "x" * MAX_NAME_CHARACTERS
    assert genres == ["y" * MAX_LABEL_CHARACTERS] * MAX_LABELS


def test_many_100_kb_titles_take_little_time() -> None:
    items = titles(*(["all work and no play " * 5_000] * 200))
    start = time.monotonic()
    texts = item_texts(items)
    assert {len(text) for text in texts} <= set(range(MAX_NAME_CHARACTERS + 1))
    assert time.monotonic() - start < 5  # about 0.02 s on an idle machine


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_every_item_has_a_text_without_blank_lines(values: list[str | None]) -> None:
    texts = item_texts(titles(*values))
    assert len(texts) == len(values)
    assert all(line.strip() for text in texts for line in (text.split("\n") if text else []))
