"""Compiled loops from code points to hashed n-grams, counts, TF-IDF rows and vectors.

Why our own: scikit-learn's analysers build every n-gram as a Python string, which takes
several times longer than all the rest together (see ``benchmarks/text_speed.md``). Each text
is computed on its own in a fixed order, so a batch gives the very numbers single texts give.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from crossfade.features.text.characters import (
    DROPPED,
    LETTER,
    LINE,
    SIGN,
    SPACE,
    SYMBOL,
    Codes,
    Kinds,
)
from crossfade.types import Floats, Ints, Rows

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_WORDS = np.uint64(0x243F6A8885A308D3)
_WINDOWS = np.uint64(0x13198A2E03707344)
_BLANK = np.uint64(32)

Hashes = NDArray[np.uint64]
"""Of n-grams. The low ``hash_bits`` bits and one more, which is 0 for words and 1 for windows,
are the bucket; the upper 32 are the check that tells n-grams of one bucket apart."""

Checks = NDArray[np.uint32]

Sizes = tuple[int, int, int, int]
"""Longest word n-gram, shortest and longest window, number of buckets for words."""

Known = tuple[Rows, Checks, Floats]
"""Column of each bucket (-1: none), and check and inverse frequency of each column."""


@numba.njit(cache=True, nogil=True)
def vote_texts(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    codes: Codes,
    ends: Ints,
    kinds: Kinds,
    sizes: Sizes,
    checks: Checks,
    votes: Rows,
) -> None:
    """Find the commonest n-gram of each bucket by majority vote (Boyer and Moore, 1981)."""
    found, word = _space_for(start, stop, ends, sizes)
    mask = np.uint64(len(votes) - 1)
    for text in range(start, stop):
        n = _ngrams(codes[ends[text] : ends[text + 1]], kinds, sizes, word, found)
        for at in range(n):
            bucket, check = np.int64(found[at] & mask), np.uint32(found[at] >> _HALF)
            if votes[bucket] == 0:
                checks[bucket] = check
            votes[bucket] += 1 if checks[bucket] == check else -1


@numba.njit(cache=True, nogil=True)
def count_texts(  # noqa: PLR0917
    start: int,
    stop: int,
    codes: Codes,
    ends: Ints,
    kinds: Kinds,
    sizes: Sizes,
    checks: Checks,
    counts: Rows,
) -> None:
    """Count the texts that hold the chosen n-gram of each bucket; ``counts`` is one thread's own."""
    found, word = _space_for(start, stop, ends, sizes)
    newest = np.full(len(counts), -1, dtype=np.int32)
    mask = np.uint64(len(counts) - 1)
    for text in range(start, stop):
        n = _ngrams(codes[ends[text] : ends[text + 1]], kinds, sizes, word, found)
        for at in range(n):
            bucket = np.int64(found[at] & mask)
            if newest[bucket] != text and checks[bucket] == np.uint32(found[at] >> _HALF):
                newest[bucket] = text
                counts[bucket] += 1


@numba.njit(cache=True, nogil=True)
def fill_rows(  # noqa: PLR0917
    start: int,
    stop: int,
    codes: Codes,
    ends: Ints,
    kinds: Kinds,
    sizes: Sizes,
    known: Known,
    halves: tuple[int, float, float],
    indptr: Ints,
    indices: Rows,
    data: Floats,
) -> None:
    """Write TF-IDF rows; with empty ``indices``, only their sizes into ``indptr[1:]``."""
    found, word = _space_for(start, stop, ends, sizes)
    weights, touched = (
        np.zeros(len(known[2]), dtype=np.float32),
        np.empty(len(found), dtype=np.int32),
    )
    for text in range(start, stop):
        n = _ngrams(codes[ends[text] : ends[text + 1]], kinds, sizes, word, found)
        n = _weigh(found[:n], known, halves, weights, touched)
        if len(indices) == 0:
            indptr[text + 1] = n
        for at in range(n):
            if len(indices) > 0:
                indices[indptr[text] + at] = touched[at]
                data[indptr[text] + at] = weights[touched[at]]
            weights[touched[at]] = 0


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def project_rows(  # noqa: PLR0917
    start: int,
    stop: int,
    codes: Codes,
    ends: Ints,
    kinds: Kinds,
    sizes: Sizes,
    known: Known,
    halves: tuple[int, float, float],
    components: Floats,
    out: Floats,
) -> None:
    """Write the unit vector of each TF-IDF row times ``components``; NaN where that is nothing."""
    found, word = _space_for(start, stop, ends, sizes)
    weights, touched = (
        np.zeros(len(known[2]), dtype=np.float32),
        np.empty(len(found), dtype=np.int32),
    )
    rank = components.shape[1]
    for text in range(start, stop):
        n = _ngrams(codes[ends[text] : ends[text + 1]], kinds, sizes, word, found)
        n = _weigh(found[:n], known, halves, weights, touched)
        vector = out[text]
        vector[:rank] = 0
        for at in range(n):
            weight, component = weights[touched[at]], components[touched[at]]
            for k in range(rank):
                vector[k] += weight * component[k]
            weights[touched[at]] = 0
        square = np.float64(0)
        for k in range(rank):
            square += np.float64(vector[k]) * np.float64(vector[k])
        # Far below what rounding leaves of a row of length 1 or so.
        if square < 1e-12:
            vector[:] = np.nan
        else:
            scale = np.float32(1 / np.sqrt(square))
            for k in range(rank):
                vector[k] *= scale


@numba.njit(cache=True, nogil=True)
def _space_for(start: int, stop: int, ends: Ints, sizes: Sizes) -> tuple[Hashes, Codes]:
    """Room for the n-grams of the longest text in a range, and for its longest word."""
    longest = 0
    for text in range(start, stop):
        longest = max(longest, ends[text + 1] - ends[text])
    # A word of m characters has m + 2 windows of each size at most, and m >= 1.
    n_sizes = max(sizes[2] - sizes[1] + 1, 0) if sizes[2] > 0 else 0
    most = longest * (3 * n_sizes + sizes[0])
    return np.empty(most, dtype=np.uint64), np.empty(longest + 2, dtype=np.uint32)


@numba.njit(cache=True, nogil=True)
def _ngrams(text: Codes, kinds: Kinds, sizes: Sizes, word: Codes, found: Hashes) -> int:
    """Write the hash of every n-gram of one text into ``found``; gives how many."""
    recent = np.zeros(max(sizes[0], 1), dtype=np.uint64)  # hashes of the last words of the line
    n_recent, n_found, position = 0, 0, 0
    while position < len(text):
        kind = kinds[text[position]]
        if kind == LINE:
            n_recent = 0
        if kind in (LINE, SPACE):
            position += 1
            continue
        end, only_signs = position, True
        while end < len(text) and kinds[text[end]] != LINE and kinds[text[end]] != SPACE:
            only_signs &= kinds[text[end]] != LETTER and kinds[text[end]] != SYMBOL
            end += 1
        length = 0
        for at in range(position, end + 1):
            kind = kinds[text[at]] if at < end else SPACE
            if kind == LETTER or (kind == SIGN and only_signs):
                word[length + 1] = text[at]
                length += 1
                continue
            if kind != DROPPED and length > 0:
                n_found, n_recent = _add_word(word, length, sizes, recent, n_recent, found, n_found)
                length = 0
            if kind == SYMBOL:
                word[1] = text[at]
                n_found, n_recent = _add_word(word, 1, sizes, recent, n_recent, found, n_found)
        position = end
    return n_found


@numba.njit(cache=True, nogil=True)
def _add_word(  # noqa: PLR0917
    word: Codes,
    length: int,
    sizes: Sizes,
    recent: Hashes,
    n_recent: int,
    found: Hashes,
    n_found: int,
) -> tuple[int, int]:
    """Write the n-grams that end with, or lie in, ``word[1 : length + 1]``."""
    longest_words, shortest, longest, n_buckets = sizes
    windows = np.uint64(n_buckets)
    if longest_words > 0:
        for k in range(min(n_recent, longest_words - 1), 0, -1):
            recent[k] = recent[k - 1]
        whole = _WORDS
        for at in range(1, length + 1):
            whole = _mixed(whole, np.uint64(word[at]))
        recent[0] = whole
        n_recent = min(n_recent + 1, longest_words)
        joined = _WORDS
        for k in range(n_recent):
            joined = _mixed(joined, recent[k])
            found[n_found] = _finished(joined) & ~windows
            n_found += 1
    if longest > 0:
        word[0], word[length + 1] = _BLANK, _BLANK
        padded = length + 2
        for first in range(max(padded - shortest, 0) + 1):
            window = _WINDOWS
            for at in range(first, min(first + longest, padded)):
                window = _mixed(window, np.uint64(word[at]))
                size = at - first + 1
                # A word shorter than the shortest window is one window itself.
                if size >= shortest or size == padded:
                    found[n_found] = _finished(window) | windows
                    n_found += 1
    return n_found, n_recent


@numba.njit(cache=True, nogil=True)
def _weigh(
    found: Hashes,
    known: Known,
    halves: tuple[int, float, float],
    weights: Floats,
    touched: Rows,
) -> int:
    """TF-IDF of one text into ``weights`` at the columns it lists in ``touched``; gives how many."""
    columns, checks, idf = known
    n_word_columns, word_weight, character_weight = halves
    mask = np.uint64(len(columns) - 1)
    n = 0
    for ngram in found:
        column = columns[np.int64(ngram & mask)]
        if column >= 0 and checks[column] == np.uint32(ngram >> _HALF):
            if weights[column] == 0:
                touched[n] = column
                n += 1
            weights[column] += 1
    words, characters = np.float32(0), np.float32(0)
    for at in range(n):
        column = touched[at]
        value = (1 + np.log(weights[column])) * idf[column]
        weights[column] = value
        if column < n_word_columns:
            words += value * value
        else:
            characters += value * value
    for at in range(n):
        if touched[at] < n_word_columns:
            weights[touched[at]] *= word_weight / np.sqrt(words)
        else:
            weights[touched[at]] *= character_weight / np.sqrt(characters)
    return n


@numba.njit(cache=True, nogil=True)
def _mixed(state: np.uint64, value: np.uint64) -> np.uint64:
    state = (state ^ value) * _PRIME
    return state ^ (state >> _HALF)


@numba.njit(cache=True, nogil=True)
def _finished(state: np.uint64) -> np.uint64:
    """The last round of a 64-bit mixer, so that the low bits depend on all."""
    state = (state ^ (state >> _HALF)) * _PRIME
    return state ^ (state >> _HALF)
