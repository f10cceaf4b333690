"""The built-in text encoder: TF-IDF over word and character n-grams, then truncated SVD."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from crossfade.config import Field, Settings, validate
from crossfade.errors import BundleError, NotFittedError
from crossfade.features.text.base import N_DIMS, TextEncoder
from crossfade.features.text.characters import Characters
from crossfade.features.text.kernels import Checks
from crossfade.features.text.ngrams import NgramHasher, NgramWeights
from crossfade.features.text.svd import directions
from crossfade.rng import generator
from crossfade.types import Arrays, Floats, Rows

_SMALL_CATALOGUE = 1_000
"""With fewer texts than this, rare n-grams are all there is, and cost nothing."""


class TfidfSvdConfig(Settings):
    """How the built-in encoder describes a text."""

    longest_word_ngram: int = Field(
        2, ge=0, le=4, description="Words in the longest word n-gram; 0: no word n-grams."
    )
    shortest_character_ngram: int = Field(
        3, ge=1, le=8, description="Characters in the shortest character n-gram."
    )
    longest_character_ngram: int = Field(
        4,
        ge=0,
        le=8,
        description="Characters in the longest character n-gram; 0: no character n-grams.",
    )
    word_weight: float = Field(
        1.0, gt=0, description="Length of the word half of a text's TF-IDF row."
    )
    character_weight: float = Field(
        0.7, gt=0, description="Length of the character half of a text's TF-IDF row."
    )
    min_texts: int = Field(
        2,
        ge=1,
        description="N-grams in fewer texts are not used; catalogues under 1,000 texts use all.",
    )
    max_ngrams: int = Field(
        20_000, ge=1, description="At most this many n-grams are used, those in most texts first."
    )
    hash_bits: int = Field(
        20,
        ge=8,
        le=24,
        description="Words, and characters, are hashed into 2 to the power of this many buckets each.",
    )
    max_characters: int = Field(
        4_000, ge=1, description="Characters of a text that are looked at; the rest is cut."
    )
    svd_texts: int = Field(
        20_000,
        ge=1,
        description="At most this many texts, drawn at random, decide the directions of the SVD.",
    )
    svd_passes: int = Field(
        2, ge=0, description="Power iterations of the randomised SVD; more is slower and sharper."
    )
    n_dims: int = Field(N_DIMS, ge=1, description="Width of the vectors.")

    @model_validator(mode="after")
    def _takes_something(self) -> Self:
        if self.longest_word_ngram == 0 and self.longest_character_ngram == 0:
            raise ValueError(
                "longest_word_ngram and longest_character_ngram are both 0; set one to 1 or more"
            )
        if 0 < self.longest_character_ngram < self.shortest_character_ngram:
            raise ValueError(
                f"longest_character_ngram must be 0 or at least shortest_character_ngram "
                f"({self.shortest_character_ngram}), got {self.longest_character_ngram}"
            )
        return self


class TfidfSvdEncoder(TextEncoder):
    """Latent semantic analysis of a catalogue.

    Which n-grams are kept and what they weigh comes from all fitted texts; the directions of
    the SVD from a random part of them (``svd_texts``), which costs little accuracy and
    makes the time of a fit nearly independent of the catalogue's size. A text all of whose
    n-grams are missing from that part is NaN, like one with unknown n-grams. Where the catalogue
    has fewer independent texts than ``n_dims``, the remaining columns are 0.

    Source:
        Deerwester et al. (1990), "Indexing by Latent Semantic Analysis"; Weinberger et al.
        (2009), "Feature Hashing for Large Scale Multitask Learning".
    """

    name = "tfidf"

    def __init__(self, config: TfidfSvdConfig | None = None) -> None:
        self.config = config if config is not None else TfidfSvdConfig()
        self.n_dims = self.config.n_dims
        self._weights: NgramWeights | None = None
        self._components: Floats = np.zeros((0, 0), dtype=np.float32)
        self._fingerprint = ""

    def fit(self, texts: Sequence[str], seed: int = 0) -> Self:
        """Learn n-grams, their weights and the directions; see `TextEncoder.fit`.

        Without any text that says something, every later vector is NaN.
        """
        characters = Characters.of(texts, self.config.max_characters)
        weights = self._learn_weights(characters)
        rows = weights.rows(characters)
        rows = rows[np.flatnonzero(np.diff(rows.indptr))]
        rng = generator(seed, "text.tfidf")
        if rows.shape[0] > self.config.svd_texts:
            drawn = rng.choice(rows.shape[0], self.config.svd_texts, replace=False)
            rows = rows[np.sort(drawn)]
        components = directions(rows, self.n_dims, self.config.svd_passes, rng)
        self._take(weights, components)
        return self

    def _encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> Floats:
        weights = self._fitted()
        out = np.zeros((len(texts), self.n_dims), dtype=np.float32)
        characters = Characters.of(texts, self.config.max_characters)
        weights.project(characters, self._components, out)
        advance(len(texts))
        return out

    @property
    def settings(self) -> dict[str, Any]:
        """See `TextEncoder.settings`."""
        return self.config.model_dump()

    def state(self) -> Arrays:
        """See `TextEncoder.state`."""
        weights = self._fitted()
        return {
            "buckets": weights.buckets,
            "checks": weights.checks,
            "idf": weights.idf,
            "components": self._components,
        }

    @classmethod
    def restore(cls, config: dict[str, Any], arrays: Arrays) -> Self:
        """See `TextEncoder.restore`.

        Raises:
            BundleError: If the arrays do not belong together.
        """
        encoder = cls(validate(TfidfSvdConfig, config, f"text encoder {cls.name}"))
        buckets = arrays["buckets"].astype(np.int32, copy=False)
        checks = arrays["checks"].astype(np.uint32, copy=False)
        idf = arrays["idf"].astype(np.float32, copy=False)
        components = arrays["components"].astype(np.float32, copy=False)
        # The compiled loops look nothing up twice, so arrays must fit each other from here on.
        n_buckets = 2 << encoder.config.hash_bits
        if (
            not len(buckets) == len(checks) == len(idf) == len(components)
            or components.ndim != 2
            or components.shape[1] > encoder.n_dims
            or (len(buckets) and not 0 <= buckets.min() <= buckets.max() < n_buckets)
        ):
            raise BundleError(
                f'text encoder "{cls.name}": its arrays do not belong together; restore the bundle or fit again'
            )
        encoder._take(encoder._weigh(buckets, checks, idf), np.ascontiguousarray(components))
        return encoder

    def fingerprint(self) -> str:
        """See `TextEncoder.fingerprint`."""
        if not self._fingerprint:
            digest = hashlib.sha256(f"{self.name} {self.config.model_dump_json()}".encode())
            for name, array in sorted(self.state().items()):
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            self._fingerprint = f"{self.name}-{digest.hexdigest()[:32]}"
        return self._fingerprint

    def _learn_weights(self, characters: Characters) -> NgramWeights:
        config = self.config
        checks, found = self._hasher().count(characters)
        least = config.min_texts if len(characters) >= _SMALL_CATALOGUE else 1
        kept = np.flatnonzero(found >= least)
        # Stable, so that equally frequent n-grams are chosen by bucket on every machine.
        kept = np.sort(kept[np.argsort(-found[kept], kind="stable")[: config.max_ngrams]])
        idf = np.log((1 + len(characters)) / (1 + found[kept])) + 1
        return self._weigh(kept.astype(np.int32), checks[kept], idf.astype(np.float32))

    def _hasher(self) -> NgramHasher:
        config = self.config
        return NgramHasher(
            config.longest_word_ngram,
            config.shortest_character_ngram,
            config.longest_character_ngram,
            1 << config.hash_bits,
        )

    def _weigh(self, buckets: Rows, checks: Checks, idf: Floats) -> NgramWeights:
        config = self.config
        return NgramWeights(
            self._hasher(), buckets, checks, idf, config.word_weight, config.character_weight
        )

    def _take(self, weights: NgramWeights, components: Floats) -> None:
        self._weights, self._components, self._fingerprint = weights, components, ""

    def _fitted(self) -> NgramWeights:
        if self._weights is None:
            raise NotFittedError(
                f'text encoder "{self.name}" has not been fitted; call fit(texts) or restore one first'
            )
        return self._weights
