"""Genres of a list are drawn to those of the history, as Steck (2018) has it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ranking.lists import catalogue, rows, scored

from crossfade.ranking import Candidates, Conditions, RankingCatalogue, RankingConfig, rank
from crossfade.ranking.calibrated import calibration_gap
from crossfade.ranking.diversity import relevance

SEVEN_TO_THREE = Conditions(history=np.array([0.7, 0.3]))


def films() -> tuple[RankingCatalogue, Candidates]:
    """The example of the paper's first page: the best ten are all romance (b), some action (a) follows."""
    items = catalogue(genres=[["b"]] * 10 + [["a"]] * 10)
    return items, scored(*range(20, 0, -1))


def test_the_gap_by_hand() -> None:
    history = np.array([0.5, 0.5, 0.0])
    assert calibration_gap(history, history) == 0
    one_sided = calibration_gap(history, np.array([1.0, 0.0, 0.0]))
    expected = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005)
    assert one_sided == pytest.approx(expected)
    # Nothing of the history in the list, or no genre known at all: the most there is.
    assert calibration_gap(history, np.array([0.0, 0.0, 1.0])) == pytest.approx(math.log(100))
    assert calibration_gap(history, None) == pytest.approx(math.log(100))


def test_a_calibrated_list_has_the_shares_of_the_history() -> None:
    items, candidates = films()
    config = RankingConfig(calibrated=0.9)
    found = rank(candidates, items, 10, config=config, conditions=SEVEN_TO_THREE)
    shares = items.genre_shares(found.item_row)
    assert shares is not None
    # Genre a is number 0: seven of ten.
    np.testing.assert_allclose(shares, [0.7, 0.3])
    # Within a genre the best come first.
    assert sorted(found.item_row.tolist()) == [0, 1, 2, *range(10, 17)]


def test_without_strength_or_history_only_the_score_counts() -> None:
    items, candidates = films()
    plain = list(range(10))
    none = rank(candidates, items, 10, config=RankingConfig(), conditions=SEVEN_TO_THREE)
    assert none.item_row.tolist() == plain
    stranger = rank(candidates, items, 10, config=RankingConfig(calibrated=0.9))
    assert stranger.item_row.tolist() == plain


def test_more_strength_is_a_smaller_gap() -> None:
    items, candidates = films()
    gaps = []
    for strength in (0.0, 0.3, 0.6, 0.9):
        config = RankingConfig(calibrated=strength)
        found = rank(candidates, items, 10, config=config, conditions=SEVEN_TO_THREE)
        gaps.append(calibration_gap(np.array([0.7, 0.3]), items.genre_shares(found.item_row)))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-9 < 1 < gaps[0]


@given(st.integers(0, 100_000), st.sampled_from([0.2, 0.5, 0.9]), st.sampled_from([0.0, 0.4]))
def test_every_step_takes_the_candidate_that_is_worth_most(
    seed: int, strength: float, knob: float
) -> None:
    rng = np.random.default_rng(seed)
    n, k = 12, 6
    genres = [
        rng.choice(list("abcd"), size=rng.integers(0, 3), replace=False).tolist() for _ in range(n)
    ]
    items = catalogue(genres=[*genres, ["a"], ["b"], ["c"], ["d"]])
    history = items.genre_shares(rows(*rng.integers(n, n + 4, size=8).tolist()))
    assert history is not None
    vectors = rng.normal(size=(n, 3)).astype(np.float32)
    candidates = scored(*range(n, 0, -1), vectors=vectors)
    config = RankingConfig(calibrated=strength, diversity=knob)
    found = rank(candidates, items, k, config=config, conditions=Conditions(history=history))

    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    relevant = relevance(candidates.score).tolist()

    def worth(chosen: list[int], i: int) -> float:
        nearest = max(((1 + float(units[i] @ units[j])) / 2 for j in chosen), default=0.0)
        gap = calibration_gap(history, items.genre_shares(rows(*chosen, i)))
        liked = (1 - knob) * relevant[i] - knob * nearest
        return float((1 - strength) * liked - strength * (len(chosen) + 1) * gap)

    chosen: list[int] = []
    for row in found.item_row.tolist():
        left = [i for i in range(n) if i not in chosen]
        # Up to rounding: several may be worth the same.
        assert worth(chosen, row) > max(worth(chosen, i) for i in left) - 1e-6
        chosen.append(row)


def test_items_of_unknown_genre_leave_the_shares_alone() -> None:
    # The list needs b; an item without genre neither helps nor counts as a wrong genre.
    items = catalogue(genres=[["a"], None, ["b"]])
    config = RankingConfig(calibrated=0.9)
    even = Conditions(history=np.array([0.5, 0.5]))
    found = rank(scored(3, 2, 1), items, 3, config=config, conditions=even)
    assert found.item_row.tolist() == [0, 2, 1]
