"""Alternating least squares on implicit feedback, trained by the `implicit` library."""

import numba
import numpy as np
from scipy.sparse import csr_matrix

from crossfade.config import Field
from crossfade.recommenders.factor_parts import ridge_parts
from crossfade.recommenders.factors import FactorConfig, FactorRecommender
from crossfade.threads import n_threads, one_blas_thread, over
from crossfade.types import Csr, CsrParts, Floats, Ints, Rows


class IALSConfig(FactorConfig):
    """Settings of `IALS`."""

    regularisation: float = Field(
        20.0, gt=0, description="L2 penalty on every vector, the same for all."
    )
    iterations: int = Field(15, ge=1, description="Rounds of solving users, then items.")


class IALS(FactorRecommender[IALSConfig]):
    """Confidence-weighted matrix factorisation.

    Source:
        Hu, Koren and Volinsky (2008), "Collaborative Filtering for Implicit Feedback
        Datasets"; conjugate-gradient training as in Takács et al. (2011).
    """

    name = "ials"
    Config = IALSConfig

    def _train(self, evidence: Csr, rng: np.random.Generator) -> tuple[Floats, Floats]:
        from implicit.cpu.als import AlternatingLeastSquares

        confidence = csr_matrix(
            (1 + self.config.alpha * evidence.data, evidence.indices, evidence.indptr),
            shape=evidence.shape,
            dtype=np.float32,
        )
        # The library has threads of its own; a second pool inside BLAS fights with them.
        with one_blas_thread():
            als = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularisation,
                alpha=1.0,
                iterations=self.config.iterations,
                num_threads=n_threads(),
                random_state=rng,
            )
            als.fit(confidence, show_progress=False)
        return als.user_factors, als.item_factors

    def _fold_in_users(self, evidence: CsrParts) -> Floats:
        vectors = np.zeros((len(evidence[0]) - 1, self._item.shape[1]), dtype=np.float32)
        over(
            _solve,
            len(vectors),
            *evidence,
            np.float32(self.config.alpha),
            self._ridge(),
            self._item,
            vectors,
        )
        return vectors

    def _ridge(self) -> Floats:
        """Gram matrix of the items plus the penalty, ``(factors, factors)``."""
        penalty = self.config.regularisation * np.eye(len(self._item_gram))
        return np.asarray(self._item_gram + penalty, dtype=np.float32)

    def _parts(self, liked: Rows, evidence: Floats, item_rows: Rows) -> tuple[Floats, Floats]:
        """All of the score: the vector is solved in closed form, and nothing is left."""
        extra = (self.config.alpha * evidence).astype(np.float32)
        parts = ridge_parts(self._ridge(), self._item[liked], extra, self._item[item_rows])
        return parts, np.zeros(len(item_rows), dtype=np.float32)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _solve(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    indptr: Ints,
    indices: Rows,
    evidence: Floats,
    alpha: float,
    base: Floats,
    items: Floats,
    vectors: Floats,
) -> None:
    """Solve (base + Σ alpha e h hᵀ) w = Σ (1 + alpha e) h by Cholesky for each row."""
    width = items.shape[1]
    for row in range(start, stop):
        left, w = base.copy(), vectors[row]
        for place in range(indptr[row], indptr[row + 1]):
            h, extra = items[indices[place]], alpha * evidence[place]
            w += (np.float32(1) + extra) * h
            for i in range(width):
                scaled = extra * h[i]
                for j in range(i + 1):
                    left[i, j] += scaled * h[j]
        # Lower factor in place, then forward and backward substitution.
        for i in range(width):
            for j in range(i + 1):
                total = left[i, j]
                for k in range(j):
                    total -= left[i, k] * left[j, k]
                left[i, j] = np.sqrt(total) if i == j else total / left[j, j]
            for k in range(i):
                w[i] -= left[i, k] * w[k]
            w[i] /= left[i, i]
        for i in range(width - 1, -1, -1):
            for j in range(i + 1, width):
                w[i] -= left[j, i] * w[j]
            w[i] /= left[i, i]
