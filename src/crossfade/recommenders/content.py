"""Items as weighted bags of words: genres, moods, names and other people's tags."""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.types import Csr, Floats, Ints, Rows

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TagCounts:
    """How many people put each tag on each item, and who.

    Attributes:
        counts: People per pair, shape ``(n_items, n_tags)``.
        idf: Weight of each tag.
        user_indptr: Shape ``(n_users + 1,)``; the taggings of user ``u`` are
            ``[user_indptr[u], user_indptr[u + 1])`` of the next two.
        item: Tagged item, sorted within each user.
        tag: Tag put on it.
    """

    counts: Csr
    idf: Floats
    user_indptr: Ints
    item: Rows
    tag: Rows


@dataclass(frozen=True)
class LabelWords:
    """The words of a catalogue that are genres, moods and creators.

    Attributes:
        names: Column and label, such as ``"genres:jazz"``, sorted.
        word: Column of each in the catalogue's rows.
        value: TF-IDF value that an item carrying it has there.
        n_creators: Creators have the first so many columns.
    """

    names: tuple[str, ...]
    word: Rows
    value: Floats
    n_creators: int


def inverse_frequency(matrix: Csr) -> Floats:
    """log((1 + n) / (1 + df)) + 1 of each column, with n rows and df rows that hold it."""
    frequency = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return (np.log((1 + matrix.shape[0]) / (1 + frequency)) + 1).astype(np.float32)


def catalogue_words(
    dataset: Dataset, label_weight: float, creator_weight: float, text_weight: float
) -> tuple[Csr, LabelWords]:
    """TF-IDF rows of the catalogue, shape ``(n_items, n_words)``, not normalised; its labels.

    Genres and moods are whole labels, the creator is one word of its own, titles and
    collections fall into lower-case words. A column that is absent or a weight of 0
    leaves its words out.
    """
    parts = [
        _labels(dataset.items, "genres", label_weight),
        _labels(dataset.items, "moods", label_weight),
        _names(dataset.items, creator_weight),
        _text(dataset.items, "title", text_weight),
        _text(dataset.items, "collection", text_weight),
    ]
    found = pl.concat([part for part in parts if part is not None] or [_NOTHING])
    found = found.group_by("row", "word").agg(pl.col("weight").max()).sort("row", "word")
    words = found["word"].unique().sort()
    columns = found["word"].cast(pl.Enum(words)).to_physical().to_numpy()
    shape = (dataset.n_items, len(words))
    matrix = Csr((found["weight"].to_numpy(), (found["row"].to_numpy(), columns)), shape=shape)
    idf = inverse_frequency(matrix)
    matrix.data = (matrix.data * idf[matrix.indices]).astype(np.float32)
    is_label = words.str.contains(r"^(genres|moods):")
    places = is_label.arg_true().to_numpy().astype(np.int32)
    value = (label_weight * idf[places]).astype(np.float32)
    n_creators = int(words.str.starts_with("creator:").sum())  # sorted before all others
    return matrix, LabelWords(tuple(words.filter(is_label)), places, value, n_creators)


def tag_counts(dataset: Dataset) -> TagCounts:
    """Tags on items; a person who repeats a tag on an item counts once."""
    if dataset.taggings is None:
        nobody = np.zeros(dataset.n_users + 1, dtype=np.int64)
        nothing = np.zeros(0, dtype=np.int32)
        empty = Csr(np.zeros((dataset.n_items, 0), dtype=np.float32))
        return TagCounts(empty, np.zeros(0, dtype=np.float32), nobody, nothing, nothing)
    taggings = (
        dataset.taggings.select("user_row", "item_row", tag=pl.col("tag").str.to_lowercase())
        .unique()
        .sort("user_row", "item_row", "tag")
    )
    tags = taggings["tag"].unique().sort()
    user, item = taggings["user_row"].to_numpy(), taggings["item_row"].to_numpy()
    tag = taggings["tag"].cast(pl.Enum(tags)).to_physical().cast(pl.Int32).to_numpy()
    ones = np.ones(len(tag), dtype=np.float32)
    counts = Csr((ones, (item, tag)), shape=(dataset.n_items, len(tags)))
    starts = np.searchsorted(user, np.arange(dataset.n_users + 1)).astype(np.int64)
    return TagCounts(counts, inverse_frequency(counts), starts, item.astype(np.int32), tag)


_NOTHING = pl.DataFrame(schema={"row": pl.UInt32, "word": pl.String, "weight": pl.Float32})


def _words(frame: pl.DataFrame, prefix: str, weight: float) -> pl.DataFrame:
    return (
        frame.explode("word")
        .filter(pl.col("word").is_not_null() & (pl.col("word") != ""))
        .select(
            pl.col("row").cast(pl.UInt32),
            (prefix + ":" + pl.col("word")).alias("word"),
            pl.lit(weight, dtype=pl.Float32).alias("weight"),
        )
    )


def _labels(items: pl.DataFrame, column: str, weight: float) -> pl.DataFrame | None:
    if column not in items.columns or weight == 0:
        return None
    labels = pl.col(column).list.eval(pl.element().str.to_lowercase().str.strip_chars())
    return _words(items.with_row_index("row").select("row", labels.alias("word")), column, weight)


def _names(items: pl.DataFrame, weight: float) -> pl.DataFrame | None:
    # The id of the creator is surer than the name, where the catalogue has one.
    column = next((name for name in ("creator_id", "creator") if name in items.columns), None)
    if column is None or weight == 0:
        return None
    name = pl.concat_list(pl.col(column).str.to_lowercase().str.strip_chars())
    return _words(items.with_row_index("row").select("row", name.alias("word")), "creator", weight)


def _text(items: pl.DataFrame, column: str, weight: float) -> pl.DataFrame | None:
    if column not in items.columns or weight == 0:
        return None
    words = pl.col(column).str.to_lowercase().str.extract_all(WORD.pattern)
    return _words(items.with_row_index("row").select("row", words.alias("word")), "text", weight)
