"""Evidence halves with each half-life since it was newest, in every base that can forget."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.recommenders.fading import FAINT, faded_evidence
from crossfade.recommenders.registry import RECOMMENDERS, make

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)
FADING = ("item_knn", "ease", "nmf", "ials", "genre_item_knn")


def log_of(plays: Sequence[tuple[str, str, float]], *, timed: bool = True) -> Dataset:
    """Plays as user, item and day."""
    users, items, days = zip(*plays, strict=True)
    columns: dict[str, Any] = {"user_id": users, "item_id": items}
    if timed:
        columns["timestamp"] = [DAY0 + timedelta(days=day) for day in days]
    catalogue = pl.DataFrame({"item_id": sorted(set(items)), "genres": [["pop"]] * len(set(items))})
    return Dataset.build(pl.DataFrame(columns), catalogue)


# u plays a on day 0 and again on day 6, b on day 2; v plays c on day 8, the newest of all.
PLAYS = (("u", "a", 0), ("u", "b", 2), ("u", "a", 6), ("v", "c", 8))


def test_a_pair_fades_from_its_newest_event() -> None:
    faded = faded_evidence(log_of(PLAYS), "sum", 2.0)
    # a: two plays, 2 days old; b: one, 6 days old; c: now.
    np.testing.assert_allclose(faded.toarray(), [[2 * 0.5, 0.125, 0.0], [0.0, 0.0, 1.0]])
    once = faded_evidence(log_of(PLAYS), "once", 2.0)
    np.testing.assert_allclose(once.toarray(), [[0.5, 0.125, 0.0], [0.0, 0.0, 1.0]])


def test_unwanted_events_keep_nothing_fresh() -> None:
    frame = log_of(PLAYS).with_ids().with_columns(skipped=pl.col("timestamp") > DAY0 + timedelta(5))
    faded = faded_evidence(Dataset.build(frame, None), "sum", 2.0)
    # Skipped are the second play of a and that of c, so a is of day 0, and day 8 is still now.
    np.testing.assert_allclose(faded.toarray(), [[0.0625, 0.125, 0.0], [0.0, 0.0, 0.0]])


def test_nothing_fades_without_a_half_life_or_times_and_nothing_fades_away() -> None:
    for log, half_life in ((log_of(PLAYS), None), (log_of(PLAYS, timed=False), 2.0)):
        assert faded_evidence(log, "sum", half_life).toarray().tolist() == [[2, 1, 0], [0, 0, 1]]
    faded = faded_evidence(log_of(PLAYS), "once", 0.001)
    np.testing.assert_allclose(faded.data, [FAINT, FAINT, 1])
    nobody = log_of(PLAYS).before(DAY0)
    assert faded_evidence(nobody, "once", 2.0).nnz == 0


@pytest.mark.parametrize("name", FADING)
def test_what_went_together_lately_wins_where_training_forgets(name: str) -> None:
    # Twelve people had a with old, later ten others a with new; some had neither.
    old = [(f"o{n}", item, 0.0) for n in range(12) for item in ("a", "old")]
    new = [(f"n{n}", item, 90.0) for n in range(10) for item in ("a", "new")]
    rest = [(f"r{n}", item, 90.0) for n in range(6) for item in ("b", "c")]
    log = log_of([*old, *new, *rest])
    rows = log.item_ids.rows(["old", "new"])

    def scores(half_life_days: float | None) -> tuple[float, float]:
        settings = {"half_life_days": half_life_days}
        if "factors" in RECOMMENDERS[name].Config.model_fields:
            settings |= {"factors": 3, "regularisation": 1.0}
        base = make(name, settings).fit(log, 0)
        asks = Queries.of_items(log.item_ids.rows(["a"]), log.n_items)
        before, after = base.score_batch(asks)[0, rows]
        return float(before), float(after)

    before, after = scores(None)
    assert before > after
    before, after = scores(10.0)
    assert after > before
    assert np.isfinite([before, after]).all()


def test_every_base_that_learns_from_pairs_can_forget() -> None:
    fields = {name: kind.Config.model_fields for name, kind in RECOMMENDERS.items()}
    assert {name for name in fields if "half_life_days" in fields[name]} == {
        *FADING, "popularity", "genre_popularity", "session_knn",
    }  # fmt: skip
    for name in FADING:
        assert fields[name]["half_life_days"].default is None
