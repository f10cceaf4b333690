"""One text per item, from what a catalogue says about it."""

import polars as pl

NAME_COLUMNS = ("title", "creator", "collection")
LABEL_COLUMNS = ("genres", "moods")

MAX_NAME_CHARACTERS = 512
"""Longer titles, creators and collections are cut here, so that one item with a 100-kB title
costs no more than a few ordinary ones."""

MAX_LABEL_CHARACTERS = 64
MAX_LABELS = 32
"""Genres and moods of one item beyond this many are left out."""

_VISIBLE = r"[^\s\p{Cc}\p{Cf}]"
"""Anything but spaces, control characters and invisible format marks. Emoji are visible."""

_GAPS = r"[\s\p{Cc}]+"


def item_texts(items: pl.DataFrame) -> list[str]:
    """What there is to say about each item, one line per value.

    The lines are title, creator, collection, then each genre, then each mood. A value that
    is missing, or nothing but spaces and control characters, has no line; inside a
    value such characters become one space. Nothing else is changed: encoders decide
    themselves about case, accents and emoji.

    Args:
        items: A catalogue as in the event contract; any of the columns may be absent.

    Returns:
        One text per row, in the order of the rows; empty where there is nothing to say.
        Names are cut after 512 characters, labels after 64, and lists after 32 labels.
    """
    lines = [
        pl.concat_list(_cut(pl.col(name), MAX_NAME_CHARACTERS))
        for name in NAME_COLUMNS
        if name in items.columns
    ] + [
        pl.col(name)
        .list.head(MAX_LABELS)
        .list.eval(_cut(pl.element(), MAX_LABEL_CHARACTERS))
        .fill_null([])
        for name in LABEL_COLUMNS
        if name in items.columns
    ]
    if not lines:
        return [""] * items.height
    text = pl.concat_list(lines).list.join("\n", ignore_nulls=True)
    return items.select(text.alias("text"))["text"].to_list()


def _cut(value: pl.Expr, n_characters: int) -> pl.Expr:
    # Cut first: the patterns then look at short texts only.
    short = value.cast(pl.String).str.strip_chars().str.slice(0, n_characters)
    return pl.when(short.str.contains(_VISIBLE)).then(
        short.str.replace_all(_GAPS, " ").str.strip_chars()
    )
