"""Weights by history and by age of items, added up by hand."""

import numpy as np
import pytest

from crossfade.evaluation.landscape import UNKNOWN
from crossfade.fusion.auto import AutoFusion
from crossfade.fusion.base import Columns, Fused, LabelledSignals, Signals
from crossfade.fusion.rrf import RRF
from crossfade.meta.landscape import AGE_DAYS, AGES, WeightSums
from crossfade.types import Floats

BASES = ("ease", "popularity")
COLUMNS = Columns(BASES, ("log_positives",), ("log_age_days",))
NAN = np.nan


def lists(positives: list[float], ages: list[list[float]]) -> LabelledSignals:
    shape = np.shape(ages)
    signals = Signals(
        np.zeros((*shape, 2), np.float32),
        np.ones(shape, bool),
        user=np.log1p(np.array(positives, np.float32))[:, None],
        item=np.log1p(np.array(ages, np.float32))[..., None],
        columns=COLUMNS,
    )
    rows = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    return LabelledSignals(signals, rows, np.zeros(shape, bool), np.zeros(shape[0]))


def fused(ease: list[list[float]]) -> Fused:
    first = np.array(ease, np.float32)
    return Fused(np.zeros_like(first), np.stack([first, 1 - first], axis=-1))


def sums(*parts: tuple[LabelledSignals, Fused]) -> WeightSums:
    found = WeightSums("meta", BASES)
    for part in parts:
        found.add(*part)
    return found


def test_bins_hold_means_over_candidates_and_count_requests_once() -> None:
    part = lists([0, 5, 7], [[0.5, 400], [0.5, 400], [0.5, 400]])
    found = sums((part, fused([[0.2, 0.4], [0.9, 0.7], [0.5, 0.3]]))).landscape()
    none, *between, some = found.by_history
    assert (none.name, none.n, none.n_requests) == ("none", 2, 1)
    assert none.mean == pytest.approx({"ease": 0.3, "popularity": 0.7})
    assert (some.name, some.n, some.n_requests) == ("4–7", 4, 2)
    assert some.mean["ease"] == pytest.approx(0.6)
    assert [(one.name, one.n, one.mean) for one in between] == [("1", 0, {}), ("2–3", 0, {})]
    young, *_, old = found.by_age
    assert (young.name, young.n, young.n_requests) == ("under a day", 3, 3)
    assert young.mean["ease"] == pytest.approx((0.2 + 0.9 + 0.5) / 3)
    assert old.name == "1–3 years"


def test_batch_by_batch_is_as_all_at_once() -> None:
    whole = lists([0, 5], [[1.5, NAN], [40, 2]])
    said = fused([[0.1, 0.2], [0.3, 0.4]])
    parts = [
        (whole.take(np.array([at])), Fused(said.score[[at]], said.weights[[at]])) for at in range(2)
    ]
    assert sums(*parts).landscape() == sums((whole, said)).landscape()


def test_scores_without_weights_are_left_out_and_counted() -> None:
    part = lists([3], [[10, 10, 10]])
    said = fused([[0.8, NAN, NAN]])
    said.score[0, 2] = NAN  # no score at all: no candidate
    found = sums((part, said)).landscape()
    assert (found.n, found.n_without) == (1, 1)
    assert found.by_history[0].mean["ease"] == pytest.approx(0.8)


def test_a_base_that_cannot_score_weighs_nothing() -> None:
    said = fused([[1.0]])
    said.weights[0, 0, 1] = NAN
    found = sums((lists([1], [[10]]), said)).landscape()
    assert found.by_history[0].mean == {"ease": 1.0, "popularity": 0.0}


def test_unknown_ages_stand_apart_and_alone_they_are_no_axis() -> None:
    both = sums((lists([1], [[NAN, 10]]), fused([[0.2, 0.4]]))).landscape()
    assert [both.by_age[0].name, both.by_age[-1].name] == [UNKNOWN, "7–30 days"]
    assert both.by_age[0].mean["ease"] == pytest.approx(0.2)
    assert sums((lists([1], [[NAN]]), fused([[0.2]]))).landscape().by_age == ()


def test_there_is_a_name_for_every_age_and_room_for_every_history() -> None:
    assert len(AGES) == len(AGE_DAYS) + 2
    found = sums((lists([1e9], [[1e6]]), fused([[0.5]]))).landscape()
    assert found.by_history[0].name.startswith("16,777,216–")
    assert found.by_age[0].name == "over 3 years"


def test_a_model_that_weighs_nothing_leaves_no_bins() -> None:
    found = sums((lists([1], [[10]]), fused([[NAN]]))).landscape()
    assert (found.n, found.n_without, found.by_history, found.by_age) == (0, 1, (), ())


class _Reads(RRF):
    """Two requests, of which the second came without a situation; candidate weights likewise."""

    def modality_weights(self, signals: Signals) -> dict[str, Floats]:
        first = signals.user[:, 0] > 1 if signals.user is not None else np.zeros(0)
        return {
            "request.environment": np.where(first, np.float32(0.5), np.float32(0)),
            "candidate.social": np.full(signals.mask.shape, 0.25, np.float32),
        }


def test_weights_of_modalities_are_means_over_requests_and_candidates() -> None:
    whole, said = lists([5, 0], [[1.5, 3], [40, 2]]), fused([[0.1, 0.2], [0.3, 0.4]])
    found = WeightSums("meta", BASES, _Reads())
    for at in range(2):
        found.add(whole.take(np.array([at])), Fused(said.score[[at]], said.weights[[at]]))
    expected = {"request.environment": 0.25, "candidate.social": 0.25}
    assert found.landscape().modalities == pytest.approx(expected)
    assert found.landscape().to_json()["modalities"] == pytest.approx(expected)
    assert sums((whole, said)).landscape().modalities == {}


def test_of_a_combination_members_with_a_share_are_asked_where_it_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    combined = AutoFusion()
    combined.members = {"gate": _Reads(), "idle": _Reads(), "rrf": RRF()}
    combined.shares = {"gate": 0.4, "idle": 0.0, "rrf": 0.6}
    monkeypatch.setattr(AutoFusion, "serves", lambda _, signals: signals.user[:, 0] > 1)
    found = WeightSums("auto", BASES, combined)
    found.add(lists([5, 0], [[1.5, 3], [40, 2]]), fused([[NAN, NAN], [NAN, NAN]]))
    # The static blend answers the second request, so what a gate would weigh there acts nowhere.
    assert found.landscape().modalities == {
        "gate.request.environment": 0.5,
        "gate.candidate.social": 0.25,
    }
