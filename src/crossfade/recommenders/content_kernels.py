"""Compiled loops over the descriptions of items: words of the catalogue, then people's tags."""

import numba
import numpy as np

from crossfade.recommenders.kernels import csr_parts, transposed
from crossfade.threads import over
from crossfade.types import Csr, CsrParts, Floats, Ints, Rows

Words = tuple[Ints, Rows, Floats, int]
"""Descriptions without tags: ``indptr``, words, values, and how many words there are."""

Tags = tuple[Ints, Rows, Floats, Floats, Floats]
"""Tags of items: ``indptr``, tags, counts; weight of each tag, and of each count."""

Described = tuple[Words, Tags, np.float32]
"""All of it, and what is added to the length of a description."""

Taggings = tuple[Ints, Rows, Rows]
"""Of people: ``indptr``, items, tags; sorted by item within each."""

Asked = tuple[Ints, Rows, Floats, Ints, Rows, Floats, Rows]
"""Histories and stated words, each as ``indptr``, columns and weights; user rows, -1 for nobody."""

Postings = tuple[Ints, Rows, Floats, Floats]
"""Items of each word as everybody sees them, ``indptr``, items and values; and 0 for every item
with a description, NaN for the others."""


def cosines_of(asked: Asked, described: Described, own: Taggings, item_rows: Rows) -> Floats:
    """Shrunk cosine of some items with the profile of each request, NaN without a description.

    The asking people's own tags are taken out of every item.

    Args:
        asked: n requests.
        described: What is known of the items.
        own: Who tagged what.
        item_rows: Shape ``(L,)``.

    Returns:
        Shape ``(n, L)``.
    """
    out = np.full((len(asked[6]), len(item_rows)), np.nan, dtype=np.float32)
    over(_score_some, len(out), asked, described, own, item_rows, out)
    return out


def all_cosines(asked: Asked, described: Described, own: Taggings, postings: Postings) -> Floats:
    """As `cosines_of` for all items, by the items of each word of the profile."""
    out = np.empty((len(asked[6]), len(postings[3])), dtype=np.float32)
    over(_score_all, len(out), asked, described, own, postings, out)
    return out


def postings_of(described: Described) -> Postings:
    """Items of each word."""
    words, tags, shrink = described
    indptr = np.zeros(len(words[0]), dtype=np.int64)
    room = len(words[1]) + len(tags[1])
    columns, values = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.float32)
    size = _describe_all(words, tags, shrink, indptr, columns, values)
    shape = (len(indptr) - 1, words[3] + len(tags[3]))
    matrix = Csr((values[:size], columns[:size], indptr), shape=shape)
    blank = np.where(np.diff(indptr) > 0, np.float32(0), np.float32(np.nan))
    return (*csr_parts(transposed(matrix)), blank)


def descriptions_for(item_rows: Rows, owner: int, described: Described, own: Taggings) -> CsrParts:
    """Descriptions of some items as one person is shown them.

    Args:
        item_rows: Shape ``(L,)``.
        owner: User row, -1 for strangers.
        described: What is known of the items.
        own: Who tagged what.

    Returns:
        Rows of a matrix ``(L, n_words + n_tags)``.
    """
    words, tags, _ = described
    room = int(sum((part[0][item_rows + 1] - part[0][item_rows]).sum() for part in (words, tags)))
    columns, values = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
    indptr = np.zeros(len(item_rows) + 1, dtype=np.int64)
    _describe_some(item_rows, owner, described, own, indptr, columns, values)
    return indptr, columns[: indptr[-1]], values[: indptr[-1]]


@numba.njit(cache=True, nogil=True)
def _describe_some(  # noqa: PLR0917  (kernels know no keywords)
    item_rows: Rows,
    owner: int,
    described: Described,
    tagging: Taggings,
    indptr: Ints,
    columns: Rows,
    values: Floats,
) -> None:
    words, tags, shrink = described
    own = np.zeros(len(tags[3]), dtype=np.int64)
    own_start = np.empty(len(words[0]) - 1, dtype=np.int64)
    own_start[item_rows] = -1  # no other is read, and to fill all would cost more than the rest
    theirs = _their_tags(owner, tagging, own_start)
    for place in range(len(item_rows)):
        at = indptr[place]
        size = _describe(
            item_rows[place], words, tags, theirs, own, shrink, columns[at:], values[at:]
        )
        indptr[place + 1] = at + size


@numba.njit(cache=True, nogil=True)
def _describe_all(  # noqa: PLR0917  (kernels know no keywords)
    words: Words, tags: Tags, shrink: np.float32, indptr: Ints, columns: Ints, values: Floats
) -> int:
    nothing = np.zeros(0, dtype=np.int32)
    nobody = (np.full(len(indptr) - 1, -1, dtype=np.int64), nothing, nothing, 0)
    own = np.zeros(len(tags[3]), dtype=np.int64)
    size = 0
    for item in range(len(indptr) - 1):
        size += _describe(item, words, tags, nobody, own, shrink, columns[size:], values[size:])
        indptr[item + 1] = size
    return size


@numba.njit(cache=True, nogil=True)
def _score_some(  # noqa: PLR0917
    start: int,
    stop: int,
    asked: Asked,
    described: Described,
    tagging: Taggings,
    item_rows: Rows,
    out: Floats,
) -> None:
    words, tags, shrink = described
    n_columns = words[3] + len(tags[3])
    profile = np.zeros(n_columns, dtype=np.float32)
    columns, touched = np.empty(n_columns, np.int64), np.empty(n_columns, np.int64)
    values = np.empty(n_columns, dtype=np.float32)
    own = np.zeros(len(tags[3]), dtype=np.int64)
    own_start = np.full(len(words[0]) - 1, -1, dtype=np.int64)
    for query in range(start, stop):
        theirs = _their_tags(asked[6][query], tagging, own_start)
        n_touched, length = _profile(
            query, asked, described, theirs, own, profile, touched, columns, values
        )
        for place in range(len(item_rows) if length > 0 else 0):
            item = item_rows[place]
            n = _describe(item, words, tags, theirs, own, shrink, columns, values)
            if n:
                out[query, place] = _product(n, columns, values, profile) / length
        profile[touched[:n_touched]] = 0
        own_start[theirs[1][theirs[3] :]] = -1


@numba.njit(cache=True, nogil=True)
def _score_all(  # noqa: PLR0917
    start: int,
    stop: int,
    asked: Asked,
    described: Described,
    tagging: Taggings,
    postings: Postings,
    out: Floats,
) -> None:
    words, tags, shrink = described
    indptr, items, item_values, blank = postings
    n_columns = words[3] + len(tags[3])
    profile = np.zeros(n_columns, dtype=np.float32)
    columns, touched = np.empty(n_columns, np.int64), np.empty(n_columns, np.int64)
    values = np.empty(n_columns, dtype=np.float32)
    own = np.zeros(len(tags[3]), dtype=np.int64)
    own_start = np.full(len(words[0]) - 1, -1, dtype=np.int64)
    for query in range(start, stop):
        theirs = _their_tags(asked[6][query], tagging, own_start)
        n_touched, length = _profile(
            query, asked, described, theirs, own, profile, touched, columns, values
        )
        line = out[query]
        line[:] = blank
        if length == 0:  # nothing is known of the request
            line[:] = np.nan
            n_touched = 0
        for at in range(n_touched):
            weight = profile[touched[at]] / length
            for place in range(indptr[touched[at]], indptr[touched[at] + 1]):
                line[np.uint32(items[place])] += weight * item_values[place]
        # Items that this person tagged look different to them.
        for at in range(theirs[3], len(theirs[1]) if length > 0 else 0):
            item = theirs[1][at]
            n = _describe(item, words, tags, theirs, own, shrink, columns, values)
            line[item] = _product(n, columns, values, profile) / length if n else np.nan
        profile[touched[:n_touched]] = 0
        own_start[theirs[1][theirs[3] :]] = -1


Theirs = tuple[Ints, Rows, Rows, int]
"""Where the asking person's own tags of an item begin, -1 for most items; items and tags, which
end where theirs end; where theirs begin."""


@numba.njit(cache=True, nogil=True)
def _their_tags(user_row: int, tagging: Taggings, own_start: Ints) -> Theirs:
    indptr, items, tags = tagging
    first, last = 0, 0
    if user_row >= 0:
        first, last = indptr[user_row], indptr[user_row + 1]
    for at in range(last - 1, first - 1, -1):
        own_start[items[at]] = at
    return own_start, items[:last], tags, first


@numba.njit(cache=True, nogil=True)
def _profile(  # noqa: PLR0917
    query: int,
    asked: Asked,
    described: Described,
    theirs: Theirs,
    own: Ints,
    profile: Floats,
    touched: Ints,
    columns: Ints,
    values: Floats,
) -> tuple[int, np.float32]:
    """Add up what one request likes; gives how many columns were touched, and the length."""
    words, tags, shrink = described
    indptr, liked, weights, stated_indptr, stated_words, stated_values, _ = asked
    n_touched = 0
    for at in range(stated_indptr[query], stated_indptr[query + 1]):
        touched[n_touched] = stated_words[at]
        n_touched += 1
        profile[stated_words[at]] = stated_values[at]
    for place in range(indptr[query], indptr[query + 1]):
        n = _describe(liked[place], words, tags, theirs, own, shrink, columns, values)
        for at in range(n):
            if profile[columns[at]] == 0:
                touched[n_touched] = columns[at]
                n_touched += 1
            profile[columns[at]] += weights[place] * values[at]
    square = np.float32(0)
    for at in range(n_touched):
        square += profile[touched[at]] * profile[touched[at]]
    return n_touched, np.sqrt(square)


@numba.njit(cache=True, nogil=True)
def _product(n: int, columns: Ints, values: Floats, profile: Floats) -> np.float32:
    product = np.float32(0)
    for at in range(n):
        product += values[at] * profile[columns[at]]
    return product


@numba.njit(cache=True, nogil=True)
def _describe(  # noqa: PLR0917
    item: int,
    catalogue: Words,
    tagged: Tags,
    theirs: Theirs,
    own: Ints,
    shrink: np.float32,
    columns: Ints | Rows,
    values: Floats,
) -> int:
    """Write one item's shrunk description without somebody's own tags; gives its size."""
    word_indptr, words, word_values, n_words = catalogue
    tag_indptr, tags, counts, idf, fame = tagged
    own_start, own_item, own_tag, _ = theirs
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
