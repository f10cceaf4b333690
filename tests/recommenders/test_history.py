from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.recommenders.history import HistoryConfig, weighted_history

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)
# u plays a on day 0 and again on day 6, b on day 2, c on day 8; v plays b twice on day 1.
LOG = Dataset.build(
    pl.DataFrame(
        {
            "user_id": list("uuuuvv"),
            "item_id": list("abacbb"),
            "timestamp": [DAY0 + timedelta(days=day) for day in (0, 2, 6, 8, 1, 1)],
        }
    )
)


def test_an_item_fades_from_its_newest_event() -> None:
    weights = weighted_history(LOG.queries([0, 1]), HistoryConfig(history_half_life_days=2))
    # Newest of u is day 8: a is 2 days older (1/2), b 6 days (1/8); v's newest event is its own.
    np.testing.assert_allclose(weights.toarray(), [[0.5, 0.125, 1.0], [0.0, 1.0, 0.0]])


def test_without_a_half_life_all_events_are_alike() -> None:
    weights = weighted_history(LOG.queries([0, 1]), HistoryConfig())
    np.testing.assert_array_equal(weights.toarray(), [[1, 1, 1], [0, 1, 0]])


def test_repeats_can_count_in_full_or_by_their_logarithm() -> None:
    queries = LOG.queries([0, 1])
    full = weighted_history(queries, HistoryConfig(counting="sum"))
    np.testing.assert_array_equal(full.toarray(), [[2, 1, 1], [0, 2, 0]])
    log = weighted_history(queries, HistoryConfig(counting="log"))
    np.testing.assert_allclose(log.toarray(), [[np.log2(3), 1, 1], [0, np.log2(3), 0]], rtol=1e-6)


def test_without_times_nothing_fades() -> None:
    log = Dataset.build(
        LOG.events.select(
            user_id=LOG.user_ids.ids.gather(LOG.events["user_row"]),
            item_id=LOG.item_ids.ids.gather(LOG.events["item_row"]),
        )
    )
    weights = weighted_history(log.queries([0]), HistoryConfig(history_half_life_days=2))
    np.testing.assert_array_equal(weights.toarray(), [[1, 1, 1]])
