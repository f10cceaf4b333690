"""Scores of boosted trees, node by node for many candidates at once.

A library follows every tree from its root for every candidate, and each step waits for the one before.
Here all questions of a tree are asked of a block of candidates, each in one vector instruction for
several of them: an answer strikes out the leaves that it rules out, and the first that is left is the
candidate's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from crossfade.types import Bools, Doubles, Floats, Ints

MOST_LEAVES = 32
"""Of a tree: each is a bit."""

_ZERO = np.float32(1e-35)
"""LightGBM reads values no further from 0 than this as 0."""

_SINGLES = (np.finfo(np.float32).min, np.finfo(np.float32).max)

_BLOCK = 64
"""Candidates asked together: their columns stay in the processor's nearest cache."""

_DE_BRUIJN = 0x077CB531
"""Times a power of 2, its first five bits are different for each of the 32."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The questions of some trees, whether a value is above a threshold, and what their leaves say.

    Attributes:
        starts: Where the questions of each tree begin, ``(n_trees + 1,)``.
        column: That each question is about, ``(n_questions,)``.
        threshold: Above which a value goes right; single precision, as values are.
        missing_left: Whether a missing value goes left.
        kept: Leaves, as bits from left to right, that are not ruled out where a value goes right.
        leaves: What the leaf of each bit says, ``(n_trees, 32)``, at the bit's place by `_DE_BRUIJN`.

    Source:
        Lucchese et al. (2015), "QuickScorer: a Fast Algorithm to Rank Documents with Additive
        Ensembles of Regression Trees"; for vectors, Lucchese et al. (2016).
    """

    starts: Ints
    column: Ints
    threshold: Floats
    missing_left: Bools
    kept: Any
    leaves: Doubles

    @classmethod
    def of(cls, model: dict[str, Any]) -> "Forest | None":
        """From what LightGBM's ``dump_model`` gives.

        Returns:
            None for a model that says more than a sum of trees, or has a tree with more than
            `MOST_LEAVES` leaves, with categories, with lines in its leaves, or in which zero
            means missing.
        """
        if model["num_tree_per_iteration"] != 1 or model["average_output"]:
            return None
        sizes, flat = [], []
        leaves = np.zeros((len(model["tree_info"]), MOST_LEAVES))
        for values, tree in zip(leaves, model["tree_info"], strict=True):
            root = tree["tree_structure"]
            if tree["num_leaves"] > MOST_LEAVES or not all(map(_readable, _nodes(root))):
                return None
            questions: list[_Question] = []
            _ask(root, 0, questions, values)
            sizes.append(len(questions))
            flat += questions
        column, threshold, missing_left, kept = zip(*flat, strict=True) if flat else ((),) * 4
        return cls(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.array(column, dtype=np.int64),
            np.array(threshold, dtype=np.float32),
            np.array(missing_left, dtype=np.bool_),
            np.array(kept, dtype=np.uint32),
            leaves,
        )

    def predict(self, X: Floats) -> Doubles:
        """The sum of the trees for each row, to the last bit that of LightGBM.

        Args:
            X: Shape ``(n, n_columns)``, single precision; NaN where missing.
        """
        out = np.zeros(len(X))
        questions = (self.column, self.threshold, self.missing_left, self.kept)
        _add(np.ascontiguousarray(X), self.starts, *questions, self.leaves, out)
        return out


_Question = tuple[int, np.float32, bool, int]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for side in ("left_child", "right_child"):
        if side in node:
            yield from _nodes(node[side])


def _readable(node: dict[str, Any]) -> bool:
    if "leaf_value" in node:
        return "leaf_coeff" not in node
    return bool(node["decision_type"] == "<=" and node["missing_type"] != "Zero")


def _ask(node: dict[str, Any], first: int, questions: list[_Question], values: Doubles) -> int:
    """Collect the questions below a node whose leaves are numbered from ``first``; gives the next number."""
    if "leaf_value" in node:
        values[(_DE_BRUIJN << first & 0xFFFFFFFF) >> 27] = node["leaf_value"]
        return first + 1
    middle = _ask(node["left_child"], first, questions, values)
    last = _ask(node["right_child"], middle, questions, values)
    threshold = float(node["threshold"])
    # Where nothing was missing when the tree was grown, a missing value is read as 0.
    left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
    ruled_out = (1 << middle) - (1 << first)
    questions.append(
        (node["split_feature"], _single(threshold), bool(left), ~ruled_out & 0xFFFFFFFF)
    )
    return last


def _single(threshold: float) -> np.float32:
    """The number in single precision that parts all such numbers as the threshold does."""
    down = np.float32(-np.inf)
    if -float(_ZERO) <= threshold < float(_ZERO):
        return _ZERO if threshold >= 0 else np.nextafter(-_ZERO, down)
    near = np.float32(np.clip(threshold, *_SINGLES))
    # As doubles: beside a single, NumPy would round the threshold.
    return near if float(near) <= threshold else np.nextafter(near, down)


@numba.njit(cache=True, nogil=True)
def _add(  # noqa: PLR0917  (kernels know no keywords)
    X: Floats,
    starts: Ints,
    column: Ints,
    threshold: Floats,
    missing_left: Bools,
    kept: Any,
    leaves: Doubles,
    out: Doubles,
) -> None:
    n_columns = X.shape[1]
    asked = np.zeros((n_columns, _BLOCK), dtype=np.float32)
    left = np.empty(_BLOCK, dtype=np.uint32)
    everything = np.uint32(0xFFFFFFFF)
    for first in range(0, len(X), _BLOCK):
        n = min(_BLOCK, len(X) - first)
        for row in range(n):
            for place in range(n_columns):
                asked[place, row] = X[first + row, place]
        for tree in range(len(leaves)):
            left[:] = everything
            for question in range(starts[tree], starts[tree + 1]):
                values, t, keep = asked[column[question]], threshold[question], kept[question]
                if missing_left[question]:
                    for row in range(_BLOCK):
                        left[row] &= keep if values[row] > t else everything
                else:
                    for row in range(_BLOCK):
                        left[row] &= everything if values[row] <= t else keep
            for row in range(n):
                lowest = left[row] & (~left[row] + np.uint32(1))
                leaf = np.uint32(lowest * np.uint32(_DE_BRUIJN)) >> np.uint32(27)
                out[first + row] += leaves[tree, leaf]
