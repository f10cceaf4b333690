"""Candidates from an inverted file, through FAISS."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfade.errors import BundleError, ConfigError
from crossfade.index.config import IndexConfig
from crossfade.index.exact import settle
from crossfade.index.extra import faiss, one_thread
from crossfade.index.quality import recall
from crossfade.index.storage import Stored, enough
from crossfade.types import Arrays, Doubles, Floats, Ints, Rows

N_TRAINING_PER_LIST = 48
"""Vectors that place one list; more changed recall by less than its interval and training by twice."""

CANDIDATE_COST = 128
"""Scoring one candidate in full takes as long as passing this many codes (measured at 64 numbers each)."""

EXACT_COST = 7
"""Passing one vector in exact search takes as long as passing this many codes (measured likewise)."""

CANDIDATE_FACTORS = (1, 2, 4, 8, 16, 32)
_N_FOUR_BIT = 16


@dataclass(frozen=True)
class Finder:
    """An inverted file over coarse codes: which vectors are worth scoring in full.

    Vectors are grouped round centroids; a query looks into the ``n_probe`` nearest lists and ranks what is there
    by codes of 4 bits a number of the difference to the centroid. The codes are only good enough to choose
    candidates, `settle` ranks those by the stored vectors.

    Attributes:
        structure: The FAISS index.
        n_lists: Number of lists.
        n_probe: How many lists a query looks into.
        factor: Candidates for each wanted result.
        k: Length of the lists it was tuned on; shorter ones get no fewer candidates.

    Source:
        Jégou, Douze and Schmid (2011), "Product Quantization for Nearest Neighbor Search"; André, Kermarrec and
        Le Scouarnec (2015), "Cache locality is not enough", for scanning 4-bit codes in registers.
    """

    structure: Any
    n_lists: int
    n_probe: int
    factor: int
    k: int

    def n_candidates(self, n_wanted: int) -> int:
        """How many candidates lists of some length need."""
        return self.factor * max(n_wanted, self.k)

    def candidates(self, queries: Floats, n: int) -> Rows:
        """Vectors for each query, shape ``(n_queries, n)``, best guess first, -1 where fewer are near."""
        library = faiss('index "faiss"')
        parameters = library.SearchParametersIVF(nprobe=self.n_probe)
        search = self.structure.search
        with one_thread(library):
            # One at a time: FAISS takes another path for many, and they could get other candidates.
            out = [search(query[None, :], n, params=parameters)[1] for query in queries]
        return np.concatenate(out).astype(np.int32) if out else np.empty((0, n), dtype=np.int32)

    def arrays(self) -> Arrays:
        """The structure as bytes and the numbers it is searched with."""
        tuned = np.array([self.n_lists, self.n_probe, self.factor, self.k], dtype=np.int64)
        return {"faiss": faiss('index "faiss"').serialize_index(self.structure), "tuned": tuned}


def restore(arrays: Arrays, n: int, width: int) -> Finder:
    """The inverse of `Finder.arrays`.

    Raises:
        BundleError: If the bytes are not an index over n vectors of this width.
        MissingExtraError: If FAISS is not installed.
    """
    library = faiss('index "faiss"')
    try:
        structure = library.deserialize_index(np.ascontiguousarray(arrays["faiss"]))
        n_lists, n_probe, factor, k = (int(number) for number in arrays["tuned"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise BundleError(
            f"index: its FAISS part is damaged ({error}); build the index again"
        ) from None
    if (structure.ntotal, structure.d) != (n, width):
        raise BundleError(
            f"index: its FAISS part holds {structure.ntotal:,} vectors of {structure.d} numbers, expected {n:,} "
            f"of {width}; build the index again"
        )
    return Finder(structure, n_lists, n_probe, factor, k)


def train(vectors: Floats, config: IndexConfig, seed: int) -> Finder:
    """An inverted file over the vectors that still looks into every list; `tune` makes it quick.

    Args:
        vectors: Finite, shape ``(n, width)``, n at least 1.
        config: How many lists.
        seed: For the centroids.

    Raises:
        MissingExtraError: If FAISS is not installed.
    """
    library = faiss('index "faiss"')
    n, width = vectors.shape
    n_lists = config.n_lists if config.n_lists is not None else 2 ** round(np.log2(n) / 2)
    n_lists = min(n_lists, n)
    structure = library.index_factory(
        width, f"IVF{n_lists},PQ{width}x4fsr", library.METRIC_INNER_PRODUCT
    )
    for clustering in (structure.cp, structure.pq.cp):
        clustering.seed, clustering.min_points_per_centroid = seed, 1
    structure.cp.max_points_per_centroid = N_TRAINING_PER_LIST
    with one_thread(library):
        structure.train(enough(vectors, _N_FOUR_BIT))
    structure.add(vectors)
    return Finder(structure, n_lists, n_lists, CANDIDATE_FACTORS[-1], k=1)


def tune(
    finder: Finder, stored: Stored, queries: Floats, truth: Floats, target: float
) -> tuple[Finder, float]:
    """The cheapest way of searching that finds enough of what exact search finds.

    Args:
        finder: As `train` made it.
        stored: The vectors candidates are scored by.
        queries: Held aside for this, shape ``(n_queries, width)``.
        truth: Scores of what exact search over ``stored`` finds, shape ``(n_queries, k)``, without gaps.
        target: Recall to reach, in (0, 1], with two standard errors to spare.

    Returns:
        The tuned finder and its mean recall on these queries.

    Raises:
        ConfigError: If looking into every list does not reach the target.
    """
    k, n = truth.shape[1], len(stored)
    # Halving steps of √2 from one list to all.
    probes = np.unique(np.ceil(finder.n_lists * 2.0 ** (-np.arange(0, 33) / 2))).astype(int)
    best: tuple[float, Finder, float] | None = None
    nearest = 0.0
    for n_probe in probes.tolist():
        n_scanned = n * n_probe / finder.n_lists
        if best is not None and n_scanned + CANDIDATE_COST * k >= best[0]:
            break
        wider = replace(finder, n_probe=n_probe)
        found = wider.candidates(queries, min(CANDIDATE_FACTORS[-1] * k, n))
        # These will be answered exactly, which is right but slow.
        short = (found >= 0).sum(axis=1) < k
        for factor in CANDIDATE_FACTORS:
            recalls = _recalls(stored, found[:, : factor * k], queries, truth)
            recalls[short] = 1.0
            cost = n_scanned + CANDIDATE_COST * factor * k + EXACT_COST * n * short.mean()
            nearest = max(nearest, float(recalls.mean()))
            if _surely(recalls, target) and (best is None or cost < best[0]):
                best = cost, replace(wider, factor=factor), float(recalls.mean())
    if best is None:
        raise ConfigError(
            f"index: no way of searching reaches target_recall {target:g} with two standard errors to spare on "
            f"{len(queries):,} queries, the best has recall@{k} {nearest:.4f}; lower target_recall, raise "
            'n_queries, or use kind = "exact"'
        )
    return best[1], best[2]


def _recalls(stored: Stored, candidates: Rows, queries: Floats, truth: Floats) -> Doubles:
    """Recall of each query when these candidates are scored in full."""
    k = truth.shape[1]
    scores = [
        settle(stored, known(row), query, k)[1]
        for row, query in zip(candidates, queries, strict=True)
    ]
    return recall(np.array(scores), truth)


def known(candidates: Rows) -> Ints:
    """Candidates in rising order, gaps left out."""
    return np.sort(candidates[candidates >= 0]).astype(np.int64)


def _surely(recalls: Doubles, target: float) -> bool:
    """Whether the mean lies two standard errors above the target, or at 1, where it cannot."""
    spread = recalls.std(ddof=1) / np.sqrt(len(recalls)) if len(recalls) > 1 else 0.0
    return bool(recalls.mean() >= min(target + 2 * spread, 1.0))
