import numpy as np
import pytest

from crossfade.context.columns import (
    UNCERTAINTY_NAMES,
    columns_of,
    take_columns,
    uncertainty_columns,
)
from crossfade.features.dynamics import DYNAMICS
from crossfade.meta.facts import ITEM_CONTENT
from crossfade.types import Floats

NAN = float("nan")


def test_columns_are_found_in_the_order_they_are_wanted() -> None:
    assert columns_of(["a", "b", "c", "d"], ["d", "a"]).tolist() == [3, 0]


def test_missing_columns_have_no_place_and_extra_ones_are_passed_over() -> None:
    assert columns_of(["x", "b", "x"], ["a", "b"]).tolist() == [-1, 1]
    assert columns_of([], ["a"]).tolist() == [-1]
    assert columns_of(["a"], []).tolist() == []


def test_a_wanted_column_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="column b is there more than once"):
        columns_of(["a", "b", "b"], ["b"])


@pytest.mark.parametrize("shape", [(), (0,), (2,), (2, 4)])
def test_missing_columns_are_nan(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int) * 3, dtype=np.float32).reshape(*shape, 3)
    taken = take_columns(values, ["a", "b", "c"], ["c", "other", "a"])
    assert taken.shape == (*shape, 3)
    np.testing.assert_array_equal(taken[..., 0], values[..., 2])
    assert np.isnan(taken[..., 1]).all()
    np.testing.assert_array_equal(taken[..., 2], values[..., 0])


def test_values_and_names_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names for 3 columns"):
        take_columns(np.zeros((1, 3), dtype=np.float32), ["a", "b"], ["a"])


# -- uncertainty -----------------------------------------------------------------------


def item(**given: float) -> Floats:
    """One candidate with some columns, as the reader gives them."""
    values = np.array([list(given.values())], dtype=np.float32)
    return uncertainty_columns(values, list(given)).reshape(-1)


def flag(**given: float) -> float:
    return float(item(**given)[UNCERTAINTY_NAMES.index("predicted")])


def test_measured_values_have_no_flag() -> None:
    assert flag(energy=0.5, energy_confidence=1.0, tempo=0.2, tempo_confidence=1.0) == 0


def test_one_guess_sets_the_flag() -> None:
    assert flag(energy=0.5, energy_confidence=1.0, tempo=0.2, tempo_confidence=0.3) == 1


def test_a_guess_that_explains_nothing_is_still_a_guess() -> None:
    assert flag(energy=0.5, energy_confidence=0.0) == 1


def test_a_value_that_is_not_there_is_no_guess() -> None:
    # The catalogue says confidence 0 of what it does not have.
    given = {"energy_confidence": 1.0, "tempo": NAN, "tempo_confidence": 0.0}
    assert flag(energy=0.5, **given) == 0


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"completeness": 1.0},
        {"energy": NAN, "energy_confidence": 0.0},
        {"energy": 0.5},  # a value of which nobody says how sure it is
    ],
)
def test_without_a_value_and_its_confidence_nothing_is_known_of_the_source(
    given: dict[str, float],
) -> None:
    assert np.isnan(flag(**given))


def test_all_other_columns_stay_as_they_are() -> None:
    names = [name for name in UNCERTAINTY_NAMES if name != "predicted"]
    given = {name: 0.01 * place for place, name in enumerate(names)}
    read = dict(zip(UNCERTAINTY_NAMES, item(**given, other=9.0).tolist(), strict=True))
    assert read == {**{name: pytest.approx(x) for name, x in given.items()}, "predicted": 1.0}


def test_the_metadata_are_columns_that_signals_have() -> None:
    # Audio columns come from the catalogue's own list of names.
    assert {"completeness", "log_age_days", "log_users"} <= {*DYNAMICS, *ITEM_CONTENT}
