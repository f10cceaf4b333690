"""Means over people: what is known of items, whom the blend trusts, how varied its lists are."""

from collections.abc import Iterator

import numpy as np

from crossfade.evaluation.beyond import ItemFacts, diversity
from crossfade.monitoring.facts import LISTENERS, Facts
from crossfade.monitoring.measure import Measure, apart, mean_over_people
from crossfade.monitoring.window import Acts, Lists, Window
from crossfade.types import Bools, Doubles, Ints, Rows

Column = tuple[str, str, Doubles | Bools, Ints]
"""Name, of what, values and whose they are."""


def means(window: Window, facts: Facts, rng: np.random.Generator, resamples: int) -> list[Measure]:
    """All of them; what nobody has a value of is left out."""
    lists, acts = window.lists, window.acts
    columns = (
        *_known_items(lists, acts, facts),
        *_weights(lists, facts),
        *_variety(lists, facts),
        *_methods(lists),
    )
    found = (mean_over_people(*column, rng=rng, resamples=resamples) for column in columns)
    return [one for one in found if one.n]


def decisiveness(weights: Doubles) -> Doubles:
    """How far from equal some weights are: 1 where one base has all, 0 where all have the same.

    ``1 − H / ln S`` with the entropy H of the weights.

    Args:
        weights: Shape ``(n, S)``; they sum to 1 in each row.

    Returns:
        Shape ``(n,)``; NaN for rows of NaN and for fewer than two bases.
    """
    n_bases = weights.shape[1]
    if n_bases < 2:
        return np.full(len(weights), np.nan)
    logs = np.log(np.where(weights > 0, weights, 1.0))
    return np.asarray(1 + (weights * logs).sum(axis=1) / np.log(n_bases), dtype=np.float64)


def _known_items(lists: Lists, acts: Acts, facts: Facts) -> Iterator[Column]:
    shown, done = apart(lists.person)[lists.owner], apart(acts.person)
    yield "completeness", "shown", facts.completeness[lists.item_row], shown
    yield "completeness", "events", facts.completeness[acts.item_row], done
    yield "unknown", "items of events", acts.item_row < 0, done
    yield "unknown", "users of events", acts.user_row < 0, done
    if facts.audio_confidence is not None and facts.audio_guessed is not None:
        yield "audio_confidence", "", facts.audio_confidence[lists.item_row], shown
        yield "audio_guessed", "", facts.audio_guessed[lists.item_row], shown


def _weights(lists: Lists, facts: Facts) -> Iterator[Column]:
    person = apart(lists.person)[lists.owner]
    kind = facts.listener[lists.user_row][lists.owner]
    sure = decisiveness(lists.weights)
    for place, name in enumerate(LISTENERS):
        mine = kind == place
        yield "decisiveness", name, sure[mine], person[mine]
        for label, weight in zip(facts.labels, lists.weights.T, strict=True):
            yield "weight", f"{label}, {name}", weight[mine], person[mine]


def _variety(lists: Lists, facts: Facts) -> Iterator[Column]:
    catalogue = facts.model.lists.catalogue
    person, n = apart(lists.person), len(lists)
    size = np.bincount(lists.owner, minlength=n).astype(np.float64)
    size[size == 0] = np.nan
    creator = np.where(lists.item_row >= 0, catalogue.creator[lists.item_row], -1)
    known = creator >= 0
    n_known = np.bincount(lists.owner[known], minlength=n)
    n_creators = _distinct(lists.owner[known], creator[known], n)
    some = np.where(n_known > 0, n_known, np.nan)
    yield "creators", "", n_creators / some, person
    yield "repeat_creator", "", (n_known - n_creators) / some, person
    owner, genre = _genres(lists, catalogue.genre_indptr, catalogue.genre)
    n_genres = _distinct(owner, genre, n)
    yield "genres", "", np.where(n_genres > 0, n_genres, np.nan), person
    items = ItemFacts(np.zeros(0, np.int64), 0, catalogue.genre_indptr, catalogue.genre)
    yield "within_lists", "", diversity(_padded(lists, n), items), person
    yield "list_length", "", size, person


def _methods(lists: Lists) -> Iterator[Column]:
    method, person = np.array(lists.method, dtype=np.str_), apart(lists.person)
    for name in sorted(set(lists.method)):
        yield "method", name, method == name, person


def _distinct(owner: Ints, what: Rows, n: int) -> Ints:
    """Different values in each list, ``(n,)``."""
    pairs = np.unique(np.stack([owner, what.astype(np.int64)], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=n)


def _genres(lists: Lists, indptr: Ints, genre: Rows) -> tuple[Ints, Rows]:
    """Genres of the items of each list, and the list of each."""
    known = lists.item_row >= 0
    rows = lists.item_row[known]
    sizes = indptr[rows + 1] - indptr[rows]
    first = np.repeat(indptr[rows] - np.cumsum(sizes) + sizes, sizes)
    return np.repeat(lists.owner[known], sizes), genre[first + np.arange(sizes.sum())]


def _padded(lists: Lists, n: int) -> Rows:
    """Item rows of each list, -1 at the end of shorter ones, ``(n, longest)``."""
    size = np.bincount(lists.owner, minlength=n)
    place = np.arange(len(lists.owner)) - np.repeat(np.cumsum(size) - size, size)
    rows = np.full((n, int(size.max(initial=0))), -1, dtype=np.int32)
    rows[lists.owner, place] = lists.item_row
    return rows
