"""Good ratings beside a list: told as of the request, where they are many, and never as a reason unread."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries, Target
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice, fit_bases
from crossfade.recommenders.attribution import NONE, Attribution, of_parts
from crossfade.types import Floats

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def log(target: Target | None = None) -> Dataset:
    """One minute after the other somebody rates: ``hit`` 250 times 5, ``flop`` 1, ``rare`` 99 times 5."""
    rows = [("me", "mine", 3.0, START)]
    for number in range(250):
        who, when = f"u{number:03}", START + number * MINUTE
        rows += [(who, "hit", 5.0, when), (who, "flop", 1.0, when)]
        rows += [(who, "rare", 5.0, when)] * (number < 99)
    events = pl.DataFrame(rows, ["user_id", "item_id", "value", "timestamp"], orient="row")
    return Dataset.build(events, target=target)


def system(data: Dataset) -> HybridModel:
    config = HybridConfig(bases={"one": {"model": "popularity"}})
    choice = BlendChoice("zscore", {"one": 1.0}, True, "one", 0.0, 0.0)
    bases = fit_bases(config.bases, data, 0)
    return HybridModel(data, config, bases, choice, exclude_seen=True, seed=0)


@pytest.fixture(scope="module")
def model() -> HybridModel:
    return system(log())


def notes(model: HybridModel, **how: Any) -> dict[str, tuple[dict[str, Any], ...]]:
    lines = model.recommend(k=3, explain=True, **how)
    return {line.item_id: line.notes for line in lines}


def test_many_good_ratings_are_a_note(model: HybridModel) -> None:
    told = notes(model, user="me")
    assert told == {
        "hit": ({"type": "acclaim", "name": "agreed", "n_ratings": 250},),
        "flop": (),
        "rare": (),
    }
    assert notes(model)["hit"] == told["hit"]  # a stranger asks now, too
    line = model.explain("me", "hit")
    assert line is not None
    assert line.notes == told["hit"]
    assert line.why is not None
    assert line.why.endswith("many others like it (people agree that it is good: 250 ratings).")


@pytest.mark.parametrize(
    ("minutes", "level"), [(99, None), (100, "well_rated"), (199, "well_rated"), (200, "agreed")]
)
def test_only_ratings_before_the_request_count(
    model: HybridModel, minutes: int, level: str | None
) -> None:
    # The rating of a minute is strictly before the next one.
    found = notes(model, user="me", as_of=START + minutes * MINUTE)["hit"]
    expected = () if level is None else ({"type": "acclaim", "name": level, "n_ratings": minutes},)
    assert found == expected


def test_what_no_score_was_made_of_is_no_reason(model: HybridModel) -> None:
    for line in model.recommend(user="me", k=3, explain=True):
        assert {reason["type"] for reason in line.reasons} <= {"popularity"}


def test_play_counts_are_no_ratings() -> None:
    counted = system(log(Target(strength="log_value")))
    assert set(notes(counted, user="me").values()) == {()}


def test_nobody_who_does_not_ask_is_told(model: HybridModel) -> None:
    assert [line.notes for line in model.recommend(user="me", k=3)] == [()] * 3


def test_ratings_that_a_base_read_are_a_reason_and_no_note(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads_ratings(query: Queries, rows: Any) -> Attribution:
        score = model.bases["one"].score(query, rows).score
        half: Floats = np.stack([score, score], axis=-1)[:, None, :] / np.float32(2)
        nowhere = np.array([NONE], dtype=np.int32)
        return of_parts(np.asarray(rows), nowhere, half, np.zeros_like(score), ("acclaim",))

    monkeypatch.setattr(model.bases["one"], "attribute", reads_ratings)
    lines = {line.item_id: line for line in model.recommend(user="me", k=3, explain=True)}
    hit = lines["hit"]
    assert [(r["type"], r["share"], r["evidence"]["name"]) for r in hit.reasons] == [
        ("popularity", pytest.approx(0.5), None),
        ("acclaim", pytest.approx(0.5), "agreed"),
    ]
    assert hit.notes == ()
    assert hit.why is not None
    assert hit.why.endswith("and people agree that it is good (250 ratings).")
    for item in ("rare", "flop"):
        assert all(reason["type"] != "acclaim" for reason in lines[item].reasons)
