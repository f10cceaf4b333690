"""Which wanted items are ranked, followed over the lists of a block."""

import numpy as np

from crossfade.fusion.base import Fused, LabelledSignals, Signals
from crossfade.meta.candidates import WantedCandidates

NAN = np.nan


def part(
    items: list[list[int]], wanted: list[list[int]], score: list[list[float]]
) -> tuple[LabelledSignals, Fused]:
    rows = np.array(items, np.int32)
    signals = Signals(np.zeros((*rows.shape, 1), np.float32), rows >= 0)
    relevant = np.array(wanted, bool)
    lists = LabelledSignals(signals, rows, relevant, relevant.sum(axis=1).astype(np.float64))
    said = np.array(score, np.float32)
    return lists, Fused(said, np.ones((*rows.shape, 1), np.float32))


def test_wanted_candidates_are_kept_by_request_and_item_across_batches() -> None:
    parts = [
        part([[4, 2]], [[1, 0]], [[0.5, 0.1]]),
        part([[2, 0], [3, -1]], [[1, 1], [1, 0]], [[NAN, 0.2], [0.9, NAN]]),
    ]
    wanted = WantedCandidates()
    assert list(wanted.followed(parts)) == parts
    expected = [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert wanted.matrix(5).toarray().tolist() == expected


def test_no_lists_make_an_empty_matrix() -> None:
    assert WantedCandidates().matrix(5).shape == (0, 5)
