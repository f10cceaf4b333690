"""Scores of given pairs: what a system says of any item for anybody it knows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.frames import Frame, to_pairs
from crossfade.fusion.base import Signals
from crossfade.fusion.tilting import one_scale, tilt_of
from crossfade.meta.blending import Blend
from crossfade.meta.lists import FusedScorer
from crossfade.meta.probability import Probability
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

LISTS_AT_ONCE = 32
"""Lists that are fused together, so that memory stays bounded."""


def predict_pairs(
    dataset: Dataset,
    blend: Blend,
    probability: Probability | None,
    pairs: Frame | Sequence[tuple[str, str]],
) -> pl.DataFrame:
    """Scores of pairs of a user and an item, each with the item among the candidates of the user.

    A pair gets the score that a list of the user would show. What else is asked for changes
    nothing: an item that no base proposes joins the usual candidates alone.

    Args:
        dataset: Whose users and items they are.
        blend: What answers.
        probability: Of the learned model's scores; None where it is not calibrated.
        pairs: User and item ids, or a table of ``user_id`` and ``item_id``; unknown ones are allowed.

    Returns:
        ``user_id``, ``item_id``, ``score`` (null where the user or item is unknown or nobody can score
        the pair, as is so of what a person knows where that is not listed) and ``probability`` (null
        also where no calibrated model spoke), in the order of the pairs.

    Raises:
        DataError: If a table lacks a column, or holds no ids.
    """
    asked = to_pairs(pairs)
    user_rows, item_rows = (
        ids.rows(asked[f"{ids.noun}_id"].to_list()) for ids in (dataset.user_ids, dataset.item_ids)
    )
    score = np.full(asked.height, np.nan, dtype=np.float32)
    chance = np.full(asked.height, np.nan)
    known = (user_rows >= 0) & (item_rows >= 0)
    for user in np.unique(user_rows[known]):
        mine = np.flatnonzero(known & (user_rows == user))
        rows, place = np.unique(item_rows[mine], return_inverse=True)
        found = predict_items(
            blend, dataset.queries([int(user)]), rows.astype(np.int32), probability
        )
        score[mine], chance[mine] = found.score[place], found.probability[place]
    return asked.with_columns(
        score=pl.Series(score).fill_nan(None), probability=pl.Series(chance).fill_nan(None)
    )


class Predicted(NamedTuple):
    """What is said of some items for one request, each ``(L,)``.

    Attributes:
        score: NaN where nobody can score it.
        probability: NaN where no calibrated model spoke.
        uncertainty: NaN where nothing is said of that.
    """

    score: Floats
    probability: Doubles
    uncertainty: Floats


def predict_items(
    blend: Blend,
    query: Queries,
    item_rows: Rows,
    probability: Probability | None,
    tilt: Doubles | None = None,
) -> Predicted:
    """What is said of items for one request; see `predict_pairs`.

    Args:
        blend: What answers.
        query: The request.
        item_rows: Different ones, ascending, ``(L,)``.
        probability: Of the learned model's scores; None where it is not calibrated.
        tilt: Of the person, ``(S,)``; see `fusion.tilting`.
    """
    found, silent = _nothing(len(item_rows)), np.ones(len(item_rows), dtype=np.bool_)
    asked = blend.by_model(query)
    if blend.learned is not None and asked[0] and len(item_rows):
        found, silent = _learned(blend.learned, query, item_rows, probability, tilt)
    if silent.any():
        found.score[silent] = blend.plain(query, ~asked)[0, item_rows[silent]]
    return found


def _nothing(n: int) -> Predicted:
    return Predicted(
        np.full(n, np.nan, np.float32), np.full(n, np.nan), np.full(n, np.nan, np.float32)
    )


def _learned(
    learned: FusedScorer,
    query: Queries,
    item_rows: Rows,
    probability: Probability | None,
    tilt: Doubles | None,
) -> tuple[Predicted, Bools]:
    """The same by the learned model, and of which lists it says nothing at all."""
    signals, listed, n_usual = learned.lists.beside(query, item_rows)
    usual = np.arange(n_usual)

    def told(columns: Ints) -> Predicted:
        lists = signals.lists(columns)
        fused = learned.fusion.forward(lists)
        nothing = np.full(fused.score.shape, np.nan)
        return Predicted(
            fused.score if tilt is None else _tilted(lists, fused.score, tilt),
            nothing if probability is None else probability.predict(fused.score, lists),
            nothing.astype(np.float32) if fused.uncertainty is None else fused.uncertainty,
        )

    first = told(usual[None, :])
    parts = [Predicted(first.score[0], first.probability[0], first.uncertainty[0])]
    silent: list[Bools] = [np.isnan(first.score).all(axis=1).repeat(n_usual)]
    for start in range(n_usual, listed.shape[1], LISTS_AT_ONCE):
        more = np.arange(start, min(start + LISTS_AT_ONCE, listed.shape[1]))
        said = told(np.column_stack([np.tile(usual, (len(more), 1)), more]))
        parts.append(Predicted(said.score[:, -1], said.probability[:, -1], said.uncertainty[:, -1]))
        silent.append(np.asarray(np.isnan(said.score).all(axis=1)))
    place_of = {int(row): at for at, row in enumerate(listed[0])}
    places = [place_of[int(row)] for row in item_rows]
    found = Predicted(*(np.concatenate(of)[places] for of in zip(*parts, strict=True)))
    return found, np.concatenate(silent)[places]


def _tilted(lists: Signals, score: Floats, tilt: Doubles) -> Floats:
    """Scores of some lists of one person with what their tilt adds, list by list."""
    each = [
        tilt_of(one_scale(lists.take(np.array([at])), score[[at]]), tilt).sum(axis=-1)
        for at in range(len(score))
    ]
    more: Floats = (score + np.stack(each)).astype(np.float32)
    return more
