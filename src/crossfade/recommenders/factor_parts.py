"""A folded-in vector's products as sums over the history it was solved from."""

import numba
import numpy as np

from crossfade.recommenders.kernels import factor_products
from crossfade.types import Floats


def ridge_parts(base: Floats, liked: Floats, extra: Floats, asked: Floats) -> Floats:
    """Parts of the history in the products of a ridge solution with other vectors.

    The solution w of (base + Σ extra_u h_u h_uᵀ) w = Σ (1 + extra_u) h_u is a sum over the
    history items u, so its product with a vector h is one too:
    Σ (1 + extra_u) h · (base + …)⁻¹ h_u. The matrix in the middle holds the whole history, so
    without one item the parts of the others differ a little.

    Args:
        base: Gram matrix of all items plus the penalty, positive definite, ``(f, f)``.
        liked: Vectors h_u of the history, ``(H, f)``.
        extra: Extra confidence of each, ``(H,)``.
        asked: Vectors h, ``(L, f)``.

    Returns:
        Shape ``(L, H)``; rows sum to w · h.

    Source:
        Hu, Koren and Volinsky (2008), "Collaborative Filtering for Implicit Feedback
        Datasets", section 5.
    """
    turned = np.ascontiguousarray(asked, dtype=np.float32).copy()
    _solve_all(base, np.ascontiguousarray(liked), extra, turned)
    parts: Floats = factor_products(turned, liked) * (1 + extra)
    return parts


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _solve_all(base: Floats, liked: Floats, extra: Floats, turned: Floats) -> None:
    """Replace each row z of ``turned`` by (base + Σ extra h hᵀ)⁻¹ z; Cholesky, in a fixed order."""
    width = base.shape[0]
    left = base.copy()
    for place in range(len(liked)):
        h = liked[place]
        for i in range(width):
            scaled = extra[place] * h[i]
            for j in range(i + 1):
                left[i, j] += scaled * h[j]
    for i in range(width):
        for j in range(i + 1):
            total = left[i, j]
            for k in range(j):
                total -= left[i, k] * left[j, k]
            left[i, j] = np.sqrt(total) if i == j else total / left[j, j]
    upper = np.ascontiguousarray(left.T)  # so that both substitutions run along rows
    for row in range(len(turned)):
        z = turned[row]
        for i in range(width):
            total = z[i]
            for k in range(i):
                total -= left[i, k] * z[k]
            z[i] = total / left[i, i]
        for i in range(width - 1, -1, -1):
            total = z[i]
            for k in range(i + 1, width):
                total -= upper[i, k] * z[k]
            z[i] = total / left[i, i]
