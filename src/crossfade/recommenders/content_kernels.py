"""Compiled loops over descriptions: scores of `ContentKNN`, and what they come from.

A description is a list of columns, words first and then tags, with one value each; see `describe`.
"""

import numba
import numpy as np

from crossfade.types import Floats, Ints, Rows


@numba.njit(cache=True, nogil=True)
def score_profiles(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    indptr: Ints,
    liked: Rows,
    weights: Floats,
    stated_indptr: Ints,
    stated_words: Rows,
    stated_values: Floats,
    owners: Rows,
    item_rows: Rows,
    word_indptr: Ints,
    words: Rows,
    word_values: Floats,
    tag_indptr: Ints,
    tags: Rows,
    counts: Floats,
    idf: Floats,
    fame: Floats,
    own_indptr: Ints,
    own_item: Rows,
    own_tag: Rows,
    n_words: int,
    shrink: float,
    out: Floats,
) -> None:
    """Cosine of each profile with each item; for its arguments see `ContentKNN`."""
    profile = np.zeros(n_words + len(idf), dtype=np.float32)  # words, then tags
    own = np.zeros(len(idf), dtype=np.int64)
    own_start = np.full(len(word_indptr) - 1, -1, dtype=np.int64)
    columns = np.empty(len(profile), dtype=np.int64)
    values = np.empty(len(profile), dtype=np.float32)
    catalogue = (word_indptr, words, word_values, n_words)
    tagged = (tag_indptr, tags, counts, idf, fame)
    for query in range(start, stop):
        first, last = 0, 0
        if owners[query] >= 0:
            first, last = own_indptr[owners[query]], own_indptr[owners[query] + 1]
        # Where the asking person's own tags of an item begin; -1 for most items.
        for at in range(last - 1, first - 1, -1):
            own_start[own_item[at]] = at
        theirs = (own_start, own_item[:last], own_tag)
        profile[:] = 0
        for at in range(stated_indptr[query], stated_indptr[query + 1]):
            profile[stated_words[at]] = stated_values[at]
        for place in range(indptr[query], indptr[query + 1]):
            n = describe(liked[place], catalogue, tagged, theirs, own, shrink, columns, values)
            for at in range(n):
                profile[columns[at]] += weights[place] * values[at]
        length = np.sqrt((profile * profile).sum())
        for place in range(len(item_rows) if length > 0 else 0):
            n = describe(item_rows[place], catalogue, tagged, theirs, own, shrink, columns, values)
            if n == 0:
                continue
            product = np.float32(0)
            for at in range(n):
                product += values[at] * profile[columns[at]]
            out[query, place] = product / length
        own_start[own_item[first:last]] = -1


@numba.njit(cache=True, nogil=True)
def describe(  # noqa: PLR0917
    item: int,
    catalogue: tuple[Ints, Rows, Floats, int],
    tagged: tuple[Ints, Rows, Floats, Floats, Floats],
    theirs: tuple[Ints, Rows, Rows],
    own: Ints,
    shrink: float,
    columns: Ints,
    values: Floats,
) -> int:
    """Write one item's shrunk description without somebody's own tags; gives its size."""
    word_indptr, words, word_values, n_words = catalogue
    tag_indptr, tags, counts, idf, fame = tagged
    own_start, own_item, own_tag = theirs
    begin = own_start[item]
    end = begin
    while 0 <= end < len(own_item) and own_item[end] == item:
        own[own_tag[end]] = 1
        end += 1
    size, square = 0, np.float32(0)
    for at in range(word_indptr[item], word_indptr[item + 1]):
        columns[size], values[size] = words[at], word_values[at]
        square += values[size] * values[size]
        size += 1
    for at in range(tag_indptr[item], tag_indptr[item + 1]):
        # fame[n] is the weight of a tag that n people put on the item.
        value = idf[tags[at]] * fame[int(counts[at]) - own[tags[at]]]
        if value > 0:
            columns[size], values[size] = n_words + tags[at], value
            square += value * value
            size += 1
    for at in range(begin, end):
        own[own_tag[at]] = 0
    for at in range(size):
        values[at] /= np.sqrt(square) + shrink
    return size


@numba.njit(cache=True, nogil=True)
def descriptions(  # noqa: PLR0917
    items: Rows,
    owner: int,
    word_indptr: Ints,
    words: Rows,
    word_values: Floats,
    tag_indptr: Ints,
    tags: Rows,
    counts: Floats,
    idf: Floats,
    fame: Floats,
    own_indptr: Ints,
    own_item: Rows,
    own_tag: Rows,
    n_words: int,
    shrink: float,
) -> tuple[Floats, Ints, Ints]:
    """Descriptions of some items as the user ``owner`` (-1 for strangers) is shown them.

    Returns:
        Values, columns and ``indptr`` of a sparse matrix with one row per item.
    """
    most = 0
    for item in items:
        most += word_indptr[item + 1] - word_indptr[item] + tag_indptr[item + 1] - tag_indptr[item]
    columns, values = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.float32)
    indptr = np.zeros(len(items) + 1, dtype=np.int64)
    own = np.zeros(len(idf), dtype=np.int64)
    own_start = np.full(len(word_indptr) - 1, -1, dtype=np.int64)
    catalogue = (word_indptr, words, word_values, n_words)
    tagged = (tag_indptr, tags, counts, idf, fame)
    first, last = 0, 0
    if owner >= 0:
        first, last = own_indptr[owner], own_indptr[owner + 1]
    for at in range(last - 1, first - 1, -1):
        own_start[own_item[at]] = at
    theirs = (own_start, own_item[:last], own_tag)
    for place in range(len(items)):
        at = indptr[place]
        size = describe(
            items[place], catalogue, tagged, theirs, own, shrink, columns[at:], values[at:]
        )
        indptr[place + 1] = at + size
    return values[: indptr[-1]], columns[: indptr[-1]], indptr
