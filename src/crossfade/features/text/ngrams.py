"""Word and character n-grams of many texts as TF-IDF rows over hashed columns."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from crossfade.features.text.characters import Characters, Codes, Kinds, character_kinds
from crossfade.features.text.kernels import (
    Checks,
    Sizes,
    count_texts,
    fill_rows,
    project_rows,
    vote_texts,
)
from crossfade.threads import over, together
from crossfade.types import Csr, Floats, Ints, Rows

_N_VOTES = 2
"""Parts in which texts are counted: as many on every machine, so that all choose alike."""


@dataclass(frozen=True)
class NgramHasher:
    """Which n-grams are taken, and into how many buckets they are hashed.

    Words of a text are what `crossfade.features.text.characters` calls so. Word n-grams fall
    into buckets ``[0, n_buckets)``, character n-grams into ``[n_buckets, 2 * n_buckets)``.
    The latter are windows over each word with a blank on both sides. Only one n-gram of a
    bucket can be known; the others are not mistaken for it.

    Attributes:
        longest_word_ngram: 1 for single words, 2 for pairs too, and so on; 0 for none.
        shortest_character_ngram: Characters in the shortest window.
        longest_character_ngram: Characters in the longest; 0 for no windows.
        n_buckets: A power of two.
    """

    longest_word_ngram: int
    shortest_character_ngram: int
    longest_character_ngram: int
    n_buckets: int

    def inputs(self, characters: Characters) -> tuple[Codes, Ints, Kinds, Sizes]:
        """Texts and sizes as the kernels take them."""
        sizes = (
            self.longest_word_ngram,
            self.shortest_character_ngram,
            self.longest_character_ngram,
            self.n_buckets,
        )
        return characters.codes, characters.ends, character_kinds(), sizes

    def count(self, characters: Characters) -> tuple[Checks, Rows]:
        """Choose one n-gram per bucket, nearly always the commonest, and count its texts.

        Returns:
            The check of the chosen n-gram and in how many texts it is, both of shape
            ``(2 * n_buckets,)``; 0 for buckets without any.
        """
        edges = np.linspace(0, len(characters), _N_VOTES + 1).astype(np.int64)
        pieces, inputs = list(pairwise(edges)), self.inputs(characters)
        shape = (_N_VOTES, 2 * self.n_buckets)
        checks, votes = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.int32)
        together(
            vote_texts, [(*piece, *inputs, checks[i], votes[i]) for i, piece in enumerate(pieces)]
        )
        chosen = np.take_along_axis(checks, votes.argmax(axis=0)[None, :], axis=0)[0]
        counts = np.zeros(shape, dtype=np.int32)
        together(
            count_texts, [(*piece, *inputs, chosen, counts[i]) for i, piece in enumerate(pieces)]
        )
        return chosen, counts.sum(axis=0, dtype=np.int32)


@dataclass(frozen=True)
class NgramWeights:
    """The n-grams that were kept, and what each weighs.

    Attributes:
        hasher: How n-grams become buckets.
        buckets: Of the kept n-grams, ascending, shape ``(n_columns,)``.
        checks: What tells each from others in its bucket, same shape.
        idf: Weight of each, same shape.
        word_weight: Length of the word half of a row before both halves are joined.
        character_weight: Length of the character half.
    """

    hasher: NgramHasher
    buckets: Rows
    checks: Checks
    idf: Floats
    word_weight: float
    character_weight: float

    @property
    def n_columns(self) -> int:
        """How many n-grams were kept."""
        return len(self.buckets)

    def rows(self, characters: Characters) -> Csr:
        """TF-IDF rows, shape ``(n, n_columns)``.

        A frequency counts as 1 + log(tf). Each half has its weight as length, where the
        text has any n-gram of it.
        """
        n, inputs = len(characters), self._inputs(characters)
        indptr = np.zeros(n + 1, dtype=np.int64)
        indices, data = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        over(fill_rows, n, *inputs, indptr, indices, data)
        np.cumsum(indptr, out=indptr)
        if indptr[-1] > 0:
            indices, data = np.resize(indices, indptr[-1]), np.resize(data, indptr[-1])
            over(fill_rows, n, *inputs, indptr, indices, data)
        return Csr((data, indices, indptr), shape=(n, self.n_columns))

    def project(self, characters: Characters, components: Floats, out: Floats) -> None:
        """Write the unit vectors of the rows times ``components`` into ``out``.

        Args:
            characters: n texts.
            components: Shape ``(n_columns, rank)``.
            out: Shape ``(n, rank or more)``; further columns are left alone, except that
                whole rows become NaN where a text has no kept n-gram.
        """
        over(project_rows, len(characters), *self._inputs(characters), components, out)

    def _inputs(self, characters: Characters) -> tuple[Any, ...]:
        columns = np.full(2 * self.hasher.n_buckets, -1, dtype=np.int32)
        columns[self.buckets] = np.arange(self.n_columns, dtype=np.int32)
        n_word_columns = int(np.searchsorted(self.buckets, self.hasher.n_buckets))
        halves = (n_word_columns, np.float32(self.word_weight), np.float32(self.character_weight))
        return (*self.hasher.inputs(characters), (columns, self.checks, self.idf), halves)
