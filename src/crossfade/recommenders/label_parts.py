"""What scores that go by genres and moods come from."""

import numpy as np

from crossfade.recommenders.attribution import NONE, Attribution, corner, of_parts
from crossfade.recommenders.labels import ItemLabels
from crossfade.types import Floats, Rows


def carried(labels: ItemLabels, item_rows: Rows) -> Rows:
    """Labels that any of some items carries, ascending."""
    starts, stops = labels.share.indptr[item_rows], labels.share.indptr[item_rows + 1]
    pieces = [labels.share.indices[a:b] for a, b in zip(starts, stops, strict=True)]
    return np.unique(np.concatenate([*pieces, np.zeros(0, np.int32)])).astype(np.int32)


def lifted_parts(
    labels: ItemLabels,
    item_rows: Rows,
    *,
    worth: Floats,
    history: tuple[Rows, Floats],
    stated: Floats,
    popularity: Floats,
) -> Attribution:
    """Parts of scores that are a popularity, lifted by the labels of the history and of a taste.

    Args:
        labels: The catalogue's.
        item_rows: The items asked for, ``(L,)``.
        worth: Score that a profile's mass 1 on a label gives to each item, ``(L, n_labels)`` over
            the labels `carried` by them.
        history: Its items ``(H,)`` and the mass each brings to a profile, split over its labels.
        stated: Mass that a stated taste brings to each of these labels, ``(n_labels,)``.
        popularity: What is left of each item's popularity, ``(L,)``; NaN where it has no score.
    """
    liked, mass = history
    columns = carried(labels, item_rows)
    shares = corner(labels.share, liked, columns) * mass[:, None]
    n = len(columns)
    parts = np.zeros((len(item_rows), len(liked) + 1, 1 + 2 * n), dtype=np.float32)
    parts[:, :-1, 1 : 1 + n] = worth[:, None, :] * shares
    parts[:, -1, 1 + n :] = worth * stated
    parts[:, -1, 0] = np.nan_to_num(popularity)
    names = [labels.names[column] for column in columns]
    return of_parts(
        item_rows,
        np.append(liked, np.int32(NONE)),
        parts,
        np.where(np.isnan(popularity), popularity, np.float32(0)),
        (*names, *(f"taste:{name}" for name in names)),
    )
