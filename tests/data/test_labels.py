import polars as pl

from crossfade.data.labels import LabelIndex

ITEMS = pl.DataFrame(
    {
        "genres": [["Rock", "Jazz"], ["rock "], None, ["jazz fusion", ""], ["pop"], ["rock"]],
        "moods": [["calm"], None, None, None, None, None],
    }
)


def test_labels_are_counted_without_case_the_commonest_first() -> None:
    assert LabelIndex(ITEMS, "genre").names == ("rock", "jazz", "jazz fusion", "pop")
    assert LabelIndex(ITEMS, "mood").names == ("calm",)


def test_known_and_unknown_labels_keep_their_spelling_and_come_once() -> None:
    known, unknown = LabelIndex(ITEMS, "genre").split(["ROCK", "polka", "ROCK", " pop", "polka"])
    assert known == ("ROCK", " pop")
    assert unknown == ("polka",)


def test_an_unknown_label_is_named_with_what_comes_close_and_the_commonest() -> None:
    genres = LabelIndex(ITEMS, "genre")
    assert genres.unknown("jaz") == (
        'genre "jaz" is unknown; did you mean jazz? the commonest genres are rock, jazz, jazz fusion, pop'
    )
    assert genres.unknown("polka") == (
        'genre "polka" is unknown; the commonest genres are rock, jazz, jazz fusion, pop'
    )


def test_a_catalogue_without_labels_says_so() -> None:
    empty = LabelIndex(pl.DataFrame({"item_id": ["a"]}), "mood")
    assert empty.unknown("calm") == 'mood "calm" is unknown: the catalogue has no moods'
