"""What a cosine of descriptions comes from: items of the history, and what both are described with."""

from dataclasses import dataclass

import numpy as np

from crossfade.recommenders.attribution import NONE, Attribution, corner, of_parts
from crossfade.recommenders.content import LabelWords
from crossfade.recommenders.kernels import factor_products
from crossfade.types import Csr, Floats, Rows


@dataclass(frozen=True, eq=False)
class DescribedPair:
    """Descriptions as rows of sparse matrices over the same columns.

    Attributes:
        liked: Of the history, ``(H, n_columns)``.
        asked: Of the items asked for, ``(L, n_columns)``.
        labels: Which columns are creators, genres and moods; all others are words and tags.
    """

    liked: Csr
    asked: Csr
    labels: LabelWords


def content_parts(
    described: DescribedPair, liked: Rows, weight: Floats, stated: Csr, item_rows: Rows
) -> Attribution:
    """Parts of the cosines of some items with a profile.

    Args:
        described: Descriptions of both sides.
        liked: Items of the history, ``(H,)``.
        weight: Weight of each in the profile, ``(H,)``.
        stated: What a stated taste adds to the profile, ``(1, n_words)``.
        item_rows: The items asked for, ``(L,)``.

    Returns:
        Parts that add up to the score; ``rest`` is 0, or NaN where an item has no description or
        the profile is empty.
    """
    # Only columns of the items asked for can have a part.
    columns = np.unique(described.asked.indices).astype(np.int32)
    asked = corner(described.asked, np.arange(len(item_rows), dtype=np.int32), columns)
    mine = corner(described.liked, np.arange(len(liked), dtype=np.int32), columns)
    said = np.zeros(len(columns), dtype=np.float32)
    is_word = columns < stated.shape[1]
    said[is_word] = corner(stated, np.zeros(1, dtype=np.int32), columns[is_word])[0]
    asked /= _length(described.liked, weight, stated)
    mine *= weight[:, None]

    labels = described.labels
    is_label = np.isin(columns, labels.word)
    is_creator = columns < labels.n_creators
    is_other = ~(is_label | is_creator)
    parts = np.zeros((len(item_rows), len(liked) + 1, 3 + 2 * is_label.sum()), dtype=np.float32)
    parts[:, :-1, 1] = factor_products(asked[:, is_other], mine[:, is_other])
    parts[:, :-1, 2] = factor_products(asked[:, is_creator], mine[:, is_creator])
    on_both = parts[:, :, 3 : 3 + is_label.sum()]
    on_both[:, :-1] = asked[:, None, is_label] * mine[:, is_label]
    parts[:, -1, 3 + is_label.sum() :] = asked[:, is_label] * said[is_label]
    names = [labels.names[at] for at in np.searchsorted(labels.word, columns[is_label])]
    attributes = ("description", "creator", *names, *(f"taste:{name}" for name in names))

    nowhere = np.diff(described.asked.indptr) == 0
    nowhere |= not (described.liked.nnz or stated.nnz)
    rest = np.where(nowhere, np.float32(np.nan), np.float32(0))
    return of_parts(item_rows, np.append(liked, np.int32(NONE)), parts, rest, attributes)


def _length(liked: Csr, weight: Floats, stated: Csr) -> np.float32:
    """Length of the profile; 1 for an empty one, whose scores are NaN anyway."""
    columns, where = np.unique(np.append(liked.indices, stated.indices), return_inverse=True)
    values = np.append(liked.data * np.repeat(weight, np.diff(liked.indptr)), stated.data)
    profile = np.bincount(where, weights=values, minlength=len(columns))
    length = np.sqrt(np.square(profile).sum())
    return np.float32(length if length > 0 else 1)
