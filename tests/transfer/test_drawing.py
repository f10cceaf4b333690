"""Small domains keep the time rule, and hide what they must."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.transfer.drawing import draw, event_places, mixed_content, own_lists, without_content


def _timeless(dataset: Dataset) -> Dataset:
    events = dataset.with_ids().select("user_id", "item_id")
    return Dataset.build(events, name="timeless")


@given(seed=st.integers(0, 50), shots=st.integers(1, 5))
def test_a_small_domain_holds_the_first_events_of_its_people_and_asks_for_later_ones(
    source: Dataset, seed: int, shots: int
) -> None:
    small = draw(source, 12, shots, 20, np.random.default_rng(seed))
    users = small.log.events["user_row"].to_numpy()
    _, count = np.unique(users, return_counts=True)
    assert len(count) == 12
    assert (count == shots).all()
    times = small.log.time_us
    assert times is not None
    assert source.time_us is not None
    everybody = source.events["user_row"].to_numpy()
    for user in np.unique(users):
        own = np.sort(source.time_us[everybody == user])
        assert np.array_equal(np.sort(times[users == user]), own[:shots])


def test_who_only_asks_is_a_stranger_whose_events_the_log_does_not_know(source: Dataset) -> None:
    small = draw(source, 5, 3, 20, np.random.default_rng(0))
    inside = np.unique(small.log.events["user_row"].to_numpy())
    asking = small.test.queries.user_row
    assert set(asking[asking >= 0]) <= set(inside)
    strangers = np.flatnonzero(asking == -1)
    assert len(strangers) > 5
    assert (np.diff(small.test.queries.indptr)[strangers] == 3).all()


def test_nothing_somebody_has_met_is_wanted_of_them(source: Dataset) -> None:
    small = draw(source, 12, 4, 20, np.random.default_rng(3))
    met = small.test.queries.seen > 0
    assert (small.test.relevant.multiply(met)).nnz == 0
    assert (np.diff(small.test.relevant.indptr) > 0).all()


def test_the_own_lists_of_a_log_learn_from_the_events_before(source: Dataset) -> None:
    log = draw(source, 12, 4, 20, np.random.default_rng(0)).log
    (trial,) = own_lists(log, np.random.default_rng(0))
    assert trial.train.n_events == log.n_events - 12
    held = set(log.with_ids().rows()) - set(trial.train.with_ids().rows())
    assert len(held) <= 12


def test_a_log_of_one_event_each_asks_half_of_its_people_by_the_others(source: Dataset) -> None:
    log = draw(source, 12, 1, 20, np.random.default_rng(0)).log
    first, second = own_lists(log, np.random.default_rng(0))
    assert first.train.n_events + second.train.n_events == log.n_events
    # Whose event is asked for shows nothing.
    assert len(first.queries.item_row) == len(second.queries.item_row) == 0


def test_a_log_of_one_event_can_ask_nothing() -> None:
    one = Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["i"]}), name="one")
    assert own_lists(one, np.random.default_rng(0)) == []


def test_without_times_the_order_is_drawn_and_every_event_has_a_place(source: Dataset) -> None:
    timeless = _timeless(source)
    first, second = (event_places(timeless, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first, second)
    users = timeless.events["user_row"].to_numpy()
    for user in range(5):
        own = np.sort(first[users == user])
        assert np.array_equal(own, np.arange(len(own)))


def test_too_few_events_are_an_error_that_says_so(source: Dataset) -> None:
    with pytest.raises(DataError, match="no two people have 10003 events or more"):
        draw(source, 10, 10_000, 20, np.random.default_rng(0))


def test_hidden_content_leaves_names_alone_and_mixed_content_moves_whole_rows(
    source: Dataset,
) -> None:
    assert without_content(source).items.columns == ["item_id"]
    mixed = mixed_content(source, np.random.default_rng(0))
    assert mixed.items["item_id"].equals(source.items["item_id"])
    about = [name for name in source.items.columns if name != "item_id"]
    assert not mixed.items["title"].equals(source.items["title"])
    assert mixed.items.select(about).sort("title").equals(source.items.select(about).sort("title"))
