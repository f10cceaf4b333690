"""What a cosine of descriptions comes from: items of the history, and what both are described with."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.recommenders.attribution import (
    NONE,
    Attribution,
    corner_of,
    of_parts,
    place_of,
    sieve_of,
)
from crossfade.recommenders.content import LabelWords
from crossfade.recommenders.kernels import factor_products
from crossfade.types import CsrParts, Floats, Ints, Rows


class Descriptions(NamedTuple):
    """What describes the items of a history, and after them the items asked for.

    Attributes:
        parts: A row for each item, ``(H + L, n_columns)``.
        labels: Which columns are creators, genres and moods; all others are words and tags.
    """

    parts: CsrParts
    labels: LabelWords


def content_parts(
    described: Descriptions,
    liked: Rows,
    weight: Floats,
    stated: CsrParts,
    item_rows: Rows,
) -> Attribution:
    """Parts of the cosines of some items with a profile.

    Args:
        described: Descriptions of both sides.
        liked: Items of the history, ``(H,)``.
        weight: Weight of each in the profile, ``(H,)``.
        stated: What a stated taste adds to the profile, a matrix of one row.
        item_rows: The items asked for, ``(L,)``.

    Returns:
        Parts that add up to the score; ``rest`` is 0, or NaN where an item has no description or
        the profile is empty.
    """
    (indptr, words, _), labels = described
    end = indptr[len(liked)]  # of what describes the history
    # Only columns of the items asked for can have a part.
    columns = np.unique(words[end:])
    every = corner_of(described.parts, np.arange(len(indptr) - 1, dtype=np.int32), columns)
    mine, asked = every[: len(liked)], every[len(liked) :]
    said = corner_of(stated, np.zeros(1, dtype=np.int32), columns)[0]
    asked /= _length(described.parts, weight, stated)
    mine *= weight[:, None]

    label = _places(columns, labels.word)
    is_label, is_creator = label >= 0, columns < labels.n_creators
    is_other = ~(is_label | is_creator)
    is_taste = is_label & (said != 0)
    n_labels, n_tastes = np.count_nonzero(is_label), np.count_nonzero(is_taste)
    parts = np.zeros((len(item_rows), len(liked) + 1, 3 + n_labels + n_tastes), dtype=np.float32)
    parts[:, :-1, 1] = factor_products(asked[:, is_other], mine[:, is_other])
    parts[:, :-1, 2] = factor_products(asked[:, is_creator], mine[:, is_creator])
    on_both = parts[:, :, 3 : 3 + n_labels]
    on_both[:, :-1] = asked[:, None, is_label] * mine[:, is_label]
    parts[:, -1, 3 + n_labels :] = asked[:, is_taste] * said[is_taste]
    names, tastes = ([labels.names[at] for at in label[of]] for of in (is_label, is_taste))
    attributes = ("description", "creator", *names, *(f"taste:{name}" for name in tastes))

    nowhere = np.diff(indptr[len(liked) :]) == 0
    nowhere |= not (end or len(stated[1]))
    rest = np.where(nowhere, np.float32(np.nan), np.float32(0))
    return of_parts(item_rows, np.append(liked, np.int32(NONE)), parts, rest, attributes)


@numba.njit(cache=True, nogil=True)
def _places(values: Rows, ordered: Rows) -> Ints:
    """Where values stand in ascending ones, -1 where they do not."""
    sieve = sieve_of(ordered)
    return np.array([place_of(value, ordered, sieve) for value in values])


def _length(described: CsrParts, weight: Floats, stated: CsrParts) -> np.float32:
    """Length of the profile; 1 for an empty one, whose scores are NaN anyway."""
    indptr, words, told = described
    sizes = np.diff(indptr[: len(weight) + 1])
    end = indptr[len(weight)]
    columns, where = np.unique(np.append(words[:end], stated[1]), return_inverse=True)
    values = np.append(told[:end] * np.repeat(weight, sizes), stated[2])
    profile = np.bincount(where, weights=values, minlength=len(columns))
    length = np.sqrt(np.square(profile).sum())
    return np.float32(length if length > 0 else 1)
