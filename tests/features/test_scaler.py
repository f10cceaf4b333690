"""The scaler by hand."""

import numpy as np
import pytest

from crossfade.errors import DataError
from crossfade.features import SESSION_FEATURE_NAMES, SESSION_FEATURES, SessionScaler
from crossfade.features.scaler import SessionScalerConfig

COUNT = SESSION_FEATURE_NAMES.index("active_days")
SHARE = SESSION_FEATURE_NAMES.index("skip_rate")
FLAG = SESSION_FEATURE_NAMES.index("user_type_explorer")
nan = float("nan")


def table(**columns: list[float]) -> np.ndarray:
    """Features of some users; what is not given is missing."""
    n = len(next(iter(columns.values())))
    values = np.full((n, len(SESSION_FEATURES)), nan)
    for name, column in columns.items():
        values[:, SESSION_FEATURE_NAMES.index(name)] = column
    return values


def test_heavy_tails_are_logged_and_shares_are_not() -> None:
    base = table(active_days=[0, 1, 3], skip_rate=[0.0, 0.2, 0.4])
    scaler = SessionScaler.fit(base, fitted_until_us=7)
    assert scaler.median[COUNT] == pytest.approx(np.log(2))
    assert scaler.spread[COUNT] == pytest.approx((np.log(2) * 1.5 - np.log(2) * 0.5) / 1.349)
    assert scaler.median[SHARE] == pytest.approx(0.2)
    values, known = scaler.transform(table(active_days=[1.0], skip_rate=[0.4]))
    assert values[0, COUNT] == pytest.approx(0, abs=1e-6)
    assert values[0, SHARE] == pytest.approx(0.2 / (0.2 / 1.349))
    assert known[0, [COUNT, SHARE]].all()


def test_missing_is_masked_and_zero_is_not() -> None:
    scaler = SessionScaler.fit(table(skip_rate=[0.0, 0.2, 0.4]), fitted_until_us=7)
    values, known = scaler.transform(table(skip_rate=[nan, 0.2]))
    assert values[:, SHARE].tolist() == [0, 0]
    assert known[:, SHARE].tolist() == [False, True]
    assert values.dtype == np.float32


def test_a_feature_the_base_block_never_had_stays_unknown() -> None:
    scaler = SessionScaler.fit(table(skip_rate=[0.1, 0.3]), fitted_until_us=7)
    values, known = scaler.transform(table(active_days=[5]))
    assert not known[0, COUNT]
    assert np.isfinite(values).all()


def test_outliers_are_clipped() -> None:
    scaler = SessionScaler.fit(table(skip_rate=[0.1, 0.2, 0.3]), 7, SessionScalerConfig(clip=2.0))
    values, _ = scaler.transform(table(skip_rate=[1.0, -1.0]))
    assert values[:, SHARE].tolist() == [2, -2]


def test_flags_and_constants_do_not_explode() -> None:
    base = table(user_type_explorer=[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], skip_rate=[0.5] * 10)
    values, _ = SessionScaler.fit(base, 7).transform(base)
    assert values[9, FLAG] == pytest.approx(1 / 0.3)  # deviation of one in ten
    assert (values[:, SHARE] == 0).all()


def test_later_users_do_not_move_the_scale() -> None:
    base = table(skip_rate=[0.0, 0.2, 0.4])
    scaler = SessionScaler.fit(base, 7)
    alone, _ = scaler.transform(table(skip_rate=[0.3]))
    together, _ = scaler.transform(table(skip_rate=[0.3, 0.9, 1.0]))
    np.testing.assert_array_equal(alone[0], together[0])


def test_a_saved_scaler_is_the_same_scaler() -> None:
    base = table(skip_rate=[0.0, 0.2, 0.4], active_days=[1, 2, 9])
    scaler = SessionScaler.fit(base, fitted_until_us=7)
    again = SessionScaler.from_arrays(scaler.to_arrays(), scaler.config)
    for left, right in zip(scaler.transform(base), again.transform(base), strict=True):
        np.testing.assert_array_equal(left, right)
    assert again.fitted_until_us == 7


def test_nobody_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="no users"):
        SessionScaler.fit(np.zeros((0, 18)), 7)
