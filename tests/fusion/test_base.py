"""The nouns of fusion: shapes are checked once, parts stay together, a model keeps its columns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import Field, Settings
from crossfade.errors import ConfigError, DataError
from crossfade.fusion.base import Columns, Fused, FusionModel, LabelledSignals, Signals
from crossfade.types import Arrays, Doubles, Floats

B, L, S, C_USER, C_ITEM = 4, 3, 2, 5, 6
COLUMNS = Columns(
    ("a", "b"),
    tuple(f"user{place}" for place in range(C_USER)),
    tuple(f"item{place}" for place in range(C_ITEM)),
)


def zeros(*shape: int) -> Floats:
    return np.zeros(shape, dtype=np.float32)


def signals(**more: Any) -> Signals:
    """Signals in which every number tells its request."""
    request = np.arange(B, dtype=np.float32)
    given: dict[str, Any] = {
        "score": zeros(B, L, S) + request[:, None, None],
        "mask": np.ones((B, L), dtype=np.bool_),
        "reciprocal_rank": zeros(B, L, S) + request[:, None, None],
        "user": zeros(B, C_USER) + request[:, None],
        "item": zeros(B, L, C_ITEM) + request[:, None, None],
        "user_row": np.arange(B, dtype=np.int32),
        "columns": COLUMNS,
    }
    return Signals(**{**given, **more})


def labelled(**more: Any) -> LabelledSignals:
    relevant = np.zeros((B, L), dtype=np.bool_)
    relevant[:, 0] = True
    return LabelledSignals(
        signals(**more),
        np.tile(np.arange(L, dtype=np.int32), (B, 1)),
        relevant,
        np.arange(1.0, B + 1),
    )


# -- signals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "array"),
    [
        ("score", zeros(B, L)),
        ("score", zeros(B, L + 1, S)),
        ("mask", np.ones((B, L + 1), dtype=np.bool_)),
        ("reciprocal_rank", zeros(B, L, S + 1)),
        ("user", zeros(B, C_USER + 1)),
        ("user", zeros(B - 1, C_USER)),
        ("item", zeros(B, L, C_ITEM - 1)),
        ("item", zeros(B, L + 1, C_ITEM)),
        ("user_row", np.zeros(B + 1, dtype=np.int32)),
        ("columns", replace(COLUMNS, bases=("a", "b", "c"))),
        ("columns", replace(COLUMNS, user=("only",))),
        ("columns", replace(COLUMNS, item=())),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(part: str, array: Any) -> None:
    with pytest.raises(ValueError, match=r"mask|user|item|score|reciprocal_rank|names"):
        signals(**{part: array})


def test_scores_alone_are_enough() -> None:
    alone = Signals(zeros(B, L, S), np.ones((B, L), dtype=np.bool_))
    assert alone.columns == Columns()
    taken = alone.take(np.array([1]))
    for part in (taken.user, taken.item, taken.reciprocal_rank, taken.user_row):
        assert part is None


def test_only_scores_of_real_candidates_are_available() -> None:
    score = zeros(1, 3, 2)
    score[0, 0, 1] = np.nan
    mask = np.array([[True, True, False]])
    found = Signals(score, mask)
    assert found.available.tolist() == [[[True, False], [True, True], [False, False]]]
    score[0, 1] = np.nan
    score[0, 2, 0] = -7.0
    found = Signals(score, mask)
    assert found.scored.tolist() == [[True, False, False]]
    assert found.largest == 7  # in the padding, and the only one that is known but for zeros
    assert Signals(np.full_like(score, np.nan), mask).largest == 0


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_pieces_are_all_requests_in_their_order(n: int) -> None:
    whole = signals()
    pieces = list(whole.pieces(n))
    assert [len(piece.mask) for piece in pieces] == [n] * (B // n) + [B % n] * (B % n > 0)
    np.testing.assert_array_equal(np.concatenate([one.user_row for one in pieces]), whole.user_row)


@given(st.lists(st.integers(0, B - 1), max_size=6))
def test_taking_requests_keeps_their_parts_together(places: list[int]) -> None:
    whole = labelled()
    taken = whole.take(np.array(places, dtype=np.int64))
    assert len(taken) == len(places)
    inside = taken.signals
    for array in (inside.score, inside.reciprocal_rank, inside.user, inside.item):
        assert array is not None
        told = array.reshape(len(places), array[0].size if len(places) else 1)
        assert told.min(axis=1, initial=9).tolist() == places
        assert told.max(axis=1, initial=0).tolist() == places
    assert inside.user_row is not None
    assert inside.user_row.tolist() == places
    assert taken.n_relevant.tolist() == [place + 1 for place in places]
    assert inside.columns == COLUMNS
    np.testing.assert_array_equal(inside.mask, whole.signals.mask[places])
    np.testing.assert_array_equal(taken.item_row, whole.item_row[places])
    np.testing.assert_array_equal(taken.relevant, whole.relevant[places])


# -- models ----------------------------------------------------------------------------


class Draws(FusionModel["Draws.Config"]):
    """A model that learns one random number and what it was given."""

    name = "draws"

    class Config(Settings):
        """Settings."""

        scale: float = Field(1.0, gt=0, description="Of the number.")

    seen: tuple[LabelledSignals, LabelledSignals]
    number: Doubles

    def forward(self, signals: Signals) -> Fused:
        self.check(signals)
        return Fused(signals.score.mean(axis=-1) * self.number, signals.score)

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        self.seen = (train, validation)
        self.number = rng.random(1)

    def _state(self) -> Arrays:
        return {"number": self.number}

    def _restore(self, state: Arrays) -> None:
        assert set(state) == {"number"}
        self.number = state["number"].astype(np.float64)


def test_a_model_gets_both_blocks_and_randomness_of_its_own_seed() -> None:
    train, validation = labelled(), labelled()
    first, again, other = (Draws().fit(train, validation, seed) for seed in (1, 1, 2))
    assert first.seen == (train, validation)
    assert first.number == again.number != other.number


def test_a_second_fit_takes_over_the_columns_of_the_second_signals() -> None:
    fewer = Columns(("a", "b"), (), ())
    second = labelled(user=None, item=None, columns=fewer)
    model = Draws().fit(labelled(), labelled()).fit(second, second)
    assert model.columns == fewer
    model.forward(second.signals)


@pytest.mark.parametrize(
    "other",
    [
        replace(COLUMNS, bases=("b", "a")),
        replace(COLUMNS, user=COLUMNS.user[::-1]),
        replace(COLUMNS, item=COLUMNS.item[::-1]),
        Columns(),
    ],
)
def test_other_columns_than_those_of_the_fit_are_refused(other: Columns) -> None:
    model = Draws().fit(labelled(), labelled())
    named = {} if other.user else {"user": None, "item": None}
    with pytest.raises(ValueError, match="draws was fitted on"):
        model.forward(signals(columns=other, **named))


def test_where_nothing_is_wanted_there_is_nothing_to_learn() -> None:
    unwanted = replace(labelled(), relevant=np.zeros((B, L), dtype=np.bool_))
    with pytest.raises(DataError, match="draws: none of 4 requests has a wanted item"):
        Draws().fit(unwanted, labelled())


def test_nothing_wanted_in_the_validation_is_no_reason_to_stop() -> None:
    unwanted = replace(labelled(), relevant=np.zeros((B, L), dtype=np.bool_))
    Draws().fit(labelled(), unwanted)


@pytest.mark.parametrize("columns", [COLUMNS, Columns(), Columns(("ä", "б b"), (), ())])
def test_a_restored_model_is_the_model(columns: Columns) -> None:
    named = {} if columns.user else {"user": None, "item": None}
    given = labelled(columns=columns, **named)
    model = Draws(Draws.Config(scale=2.0)).fit(given, given)
    again = Draws.restore(model.config.model_dump(), model.state())
    assert again.columns == columns
    assert again.config == model.config
    np.testing.assert_array_equal(
        again.forward(given.signals).score, model.forward(given.signals).score
    )


def test_wrong_settings_and_missing_arrays_are_named() -> None:
    state = Draws().fit(labelled(), labelled()).state()
    with pytest.raises(ConfigError, match="scale"):
        Draws.restore({"scale": 0}, state)
    with pytest.raises(KeyError, match="columns"):
        Draws.restore({}, {"number": state["number"]})
