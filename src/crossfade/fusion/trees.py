"""Shapley values of boosted trees, by leaves: what each column brought to each score.

A library walks every tree anew for every row. Here each leaf knows beforehand what every column of its
path brings, whichever of them lead to it, so that a row has only to be compared with the paths.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from crossfade.types import Bools, Doubles, Floats, Ints

MOST_COLUMNS = 10
"""Of different columns on a path: what is known beforehand doubles with each."""

MOST_NUMBERS = 4_000_000
"""Known beforehand of all leaves (32 MB, a fraction of a second); hundreds of deep trees would take far more."""


class _Path(NamedTuple):
    """What leads to a leaf, by column: above, up to, whether missing values go there, share of the rows."""

    conditions: dict[int, tuple[float, float, bool, float]]
    value: float


@dataclass(frozen=True, eq=False)
class LeafAccount:
    """Every leaf of a model, with what the columns of its path bring.

    Attributes:
        starts: Where the conditions of each leaf begin, ``(n_leaves + 1,)``.
        column: Of each condition, ``(n_conditions,)``.
        above: A value must be above this.
        up_to: And not above this.
        missing: Whether a missing value leads there.
        table_starts: Where what the leaf's columns bring begins, ``(n_leaves,)``.
        table: For each set of met conditions, as bits, what each column brings.
        expected: Mean of all scores by the rows the trees were grown on.

    Source:
        Lundberg et al. (2020), "From local explanations to global understanding with explainable
        AI for trees", algorithm 2, whose values these are; computing them per leaf beforehand as
        in Yang (2021), "Fast TreeSHAP".
    """

    starts: Ints
    column: Ints
    above: Doubles
    up_to: Doubles
    missing: Bools
    table_starts: Ints
    table: Doubles
    expected: float

    @classmethod
    def of(cls, model: dict[str, Any]) -> "LeafAccount | None":
        """From what LightGBM's ``dump_model`` gives.

        Returns:
            None for a model with a path of more than `MOST_COLUMNS` columns, with more than
            `MOST_NUMBERS` to know, with categories, or in which zero means missing.
        """
        paths: list[_Path] = []
        expected = 0.0
        for tree in model["tree_info"]:
            root = tree["tree_structure"]
            if not _follow(root, {}, paths):
                return None
            expected += _mean(root)
        if any(len(path.conditions) > MOST_COLUMNS for path in paths):
            return None
        flat = [(c, *told) for path in paths for c, told in path.conditions.items()]
        columns = (
            [np.array(part) for part in zip(*flat, strict=True)] if flat else [np.zeros(0)] * 5
        )
        column, above, up_to, missing, share = columns
        sizes = np.array([len(path.conditions) for path in paths], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        room = np.concatenate([[0], np.cumsum(sizes << sizes)]).astype(np.int64)
        if room[-1] > MOST_NUMBERS:
            return None
        table = np.zeros(room[-1])
        values = np.array([path.value for path in paths])
        _fill(starts, share.astype(np.float64), values, room, table)
        return cls(
            starts,
            column.astype(np.int64),
            above.astype(np.float64),
            up_to.astype(np.float64),
            missing.astype(np.bool_),
            room[:-1],
            table,
            expected,
        )

    def shapley(self, X: Floats) -> Doubles:
        """What each column brings to the score of each row, and last the mean of all scores.

        Args:
            X: Shape ``(n, n_columns)``; NaN where missing.

        Returns:
            Shape ``(n, n_columns + 1)``; rows add up to the scores.
        """
        out = np.zeros((X.shape[1] + 1, X.shape[0]))
        out[-1] = self.expected
        conditions = (self.column, self.above, self.up_to, self.missing)
        values = np.ascontiguousarray(X.T, dtype=np.float64)
        _add(values, self.starts, *conditions, self.table_starts, self.table, out)
        return out.T


def _follow(
    node: dict[str, Any], met: dict[int, tuple[float, float, bool, float]], found: list[_Path]
) -> bool:
    """Append the path to every leaf below a node; whether all of them are of the plain kind."""
    if "leaf_value" in node:
        found.append(_Path(met, float(node["leaf_value"])))
        return True
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        return False
    column, threshold = int(node["split_feature"]), float(node["threshold"])
    above, up_to, missing, share = met.get(column, (-np.inf, np.inf, True, 1.0))
    knows_missing = node["missing_type"] == "NaN"
    for side in ("left_child", "right_child"):
        child, left = node[side], side == "left_child"
        # Where nothing was missing when the tree was grown, a missing value is read as 0.
        goes = left == (node["default_left"] if knows_missing else threshold >= 0)
        here = (
            above if left else max(above, threshold),
            min(up_to, threshold) if left else up_to,
            missing and goes,
            share * _count(child) / _count(node),
        )
        if not _follow(child, {**met, column: here}, found):
            return False
    return True


def _count(node: dict[str, Any]) -> float:
    return float(node["leaf_count"] if "leaf_value" in node else node["internal_count"])


def _mean(node: dict[str, Any]) -> float:
    """Mean score of a tree over the rows it was grown on."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    children = (node["left_child"], node["right_child"])
    return sum(_count(child) * _mean(child) for child in children) / _count(node)


@numba.njit(cache=True, nogil=True)
def _fill(starts: Ints, share: Doubles, values: Doubles, room: Ints, table: Doubles) -> None:
    """What each column of each path brings, for every set of its conditions that may be met."""
    for leaf in range(len(values)):
        first, n = starts[leaf], starts[leaf + 1] - starts[leaf]
        weights = np.ones(n)  # s! (n - 1 - s)! / n! for s = 0 … n - 1
        for size in range(n):
            weight = 1.0 / n
            for step in range(size):
                weight *= (step + 1) / (n - 1 - step)
            weights[size] = weight
        for bits in range(1 << n):
            for own in range(n):
                # Product over the other columns of (share + met x): its coefficients sum up all
                # sets of columns of one size.
                sums = np.zeros(n)
                sums[0], degree = 1.0, 0
                for other in range(n):
                    if other == own:
                        continue
                    part, met = share[first + other], (bits >> other) & 1
                    degree += 1
                    for size in range(degree, 0, -1):
                        sums[size] = sums[size] * part + (sums[size - 1] if met else 0.0)
                    sums[0] *= part
                total = 0.0
                for size in range(n):
                    total += weights[size] * sums[size]
                gain = ((bits >> own) & 1) - share[first + own]
                table[room[leaf] + bits * n + own] = values[leaf] * gain * total


@numba.njit(cache=True, nogil=True)
def _add(  # noqa: PLR0917  (kernels know no keywords)
    values: Doubles,
    starts: Ints,
    column: Ints,
    above: Doubles,
    up_to: Doubles,
    missing: Bools,
    table_starts: Ints,
    table: Doubles,
    out: Doubles,
) -> None:
    # All rows meet a leaf while its table is in the cache; their values of one column lie side by
    # side and are compared without a branch, so that many are at once.
    at_set = np.empty(values.shape[1], dtype=np.int64)
    for leaf in range(len(table_starts)):
        first, n = starts[leaf], starts[leaf + 1] - starts[leaf]
        at_set[:] = table_starts[leaf]
        for place in range(n):
            _step(
                values[column[first + place]],
                above[first + place],
                up_to[first + place],
                missing[first + place],
                n << place,
                at_set,
            )
        for place in range(n):
            brought = out[column[first + place]]
            for row in range(len(at_set)):
                brought[row] += table[at_set[row] + place]


@numba.njit(cache=True, nogil=True)
def _step(  # noqa: PLR0917
    values: Doubles, above: float, up_to: float, missing: bool, step: int, at_set: Ints
) -> None:
    """Go on by a step where a condition is met."""
    for row in range(len(values)):
        value = values[row]
        met = ((value > above) & (value <= up_to)) | (missing & np.isnan(value))
        at_set[row] += step * met
