"""A report over a world that goes on as it was, and over one that does not."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.online.systems import cut, fit, world

from crossfade.data import Dataset
from crossfade.errors import ConfigError, StoreError
from crossfade.hybrid import HybridModel
from crossfade.monitoring import Measure, MonitorConfig, MonitorReport, monitor
from crossfade.monitoring.replay import events_done, lists_shown
from crossfade.monitoring.report import MIN_EARLIER
from crossfade.online import LiveSystem
from crossfade.rng import generator
from crossfade.store.log import Answered, Impression, Log, NewEvent, StoredReport

WHOLE = world()
DAY_US = 86_400_000_000
START = cut(WHOLE)[1]
UNTIL = START + 14 * DAY_US
CONFIG = MonitorConfig(
    reference_windows=3, reference_lists=15, attribution_hours=48, recall_lists=20, resamples=50
)
Served = tuple[list[Impression], list[NewEvent]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitored")


@pytest.fixture(scope="module")
def model(place: Path) -> HybridModel:
    made = fit(cut(WHOLE)[0], fusion="confidence_weighted")
    made.save(place / "bundle")
    return made


@pytest.fixture(scope="module")
def served(model: HybridModel) -> Served:
    shown = lists_shown(
        LiveSystem(model), WHOLE, START, UNTIL, n_lists=60, rng=generator(0, "test")
    )
    return shown, events_done(WHOLE, START, UNTIL)


@pytest.fixture(scope="module")
def log(place: Path, served: Served) -> Iterator[Log]:
    with log_of(place, served[1], served[0]) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(model: HybridModel, log: Log) -> MonitorReport:
    return monitor(log, model, START, UNTIL, config=CONFIG)


def of(report: MonitorReport, name: str, what: str = "") -> Measure:
    (found,) = (one for one in report.measures if one.key == (name, what))
    return found


def test_everything_that_can_be_measured_is(report: MonitorReport, served: Served) -> None:
    assert {one.name for one in report.measures} == {
        "psi", "energy", "session_shift", "session_spread", "session_outside", "completeness", "unknown",
        "audio_confidence", "audio_guessed", "decisiveness", "weight", "creators", "repeat_creator", "genres",
        "within_lists", "list_length", "method", "hit", "calibration_error", "brier", "probability", "wanted",
        "candidate_recall", "loss", "loss_change",
    }  # fmt: skip
    assert set(report.missing) == {"adaptation_gain", "neighbour_overlap", "requests"}
    assert report.n_lists == report.n_with_features == len(served[0])
    assert report.n_events == len(served[1])
    assert report.methods == {"confidence_weighted": len(served[0])}
    for one in report.measures:
        assert 0 < one.n <= report.n_people
        assert one.low is None or one.high is None or one.low <= one.high
    assert of(report, "completeness", "shown").n_usual == 3
    assert of(report, "psi", "event popularity").n_usual == 3
    assert not [one.of for one in report.measures if "season" in one.of]  # which moves by itself
    shift = of(report, "session_shift", "genre_diversity")
    assert shift.low is not None
    assert shift.high is not None


def test_nobody_is_named(report: MonitorReport, served: Served) -> None:
    text = report.model_dump_json()
    people = {one.user_id for one in served[0]} | {one.user_id for one in served[1]}
    assert len(people) > 20
    sessions = {one.session_id for one in served[1]} - {None}
    ids = {*people, *sessions, *WHOLE.item_ids.ids, *(one.request_id for one in served[0])}
    assert not [name for name in ids if name is not None and name in text]


def test_a_report_comes_back_as_it_was_written(report: MonitorReport) -> None:
    assert MonitorReport.read(report.model_dump_json()) == report
    with pytest.raises(StoreError, match="cannot be read"):
        MonitorReport.read('{"version": 1}')


def test_the_same_seed_gives_the_same_report(
    model: HybridModel, log: Log, report: MonitorReport
) -> None:
    assert monitor(log, model, START, UNTIL, config=CONFIG) == report


def test_weights_of_each_kind_of_listener_sum_to_one(report: MonitorReport) -> None:
    for kind in ("new", "light", "heavy"):
        shares = [one.value for one in report.measures if one.of.endswith(f", {kind}")]
        assert sum(value or 0 for value in shares) == pytest.approx(1)


def log_of(place: Path, events: list[NewEvent], shown: list[Impression]) -> Log:
    other = Log.open(f"sqlite:///{place / f'{len(list(place.iterdir()))}.db'}")
    other.add_impressions(shown)
    other.append(events, START)
    return other


def test_a_run_on_rare_items_is_seen_and_an_ordinary_fortnight_is_not(
    model: HybridModel, place: Path, served: Served, report: MonitorReport
) -> None:
    drifted = {one.of for one in report.alerts if one.rule == "input_drift"}
    assert "event popularity" not in drifted
    support = np.bincount(model.dataset.events["item_row"], minlength=model.dataset.n_items)
    rare = model.dataset.item_ids.id(int(np.argmin(support)))
    events = [
        NewEvent(rare, one.time_us, one.user_id, played_ms=one.played_ms) for one in served[1]
    ]
    with log_of(place, events, served[0]) as other:
        seen = monitor(other, model, START, UNTIL, config=CONFIG)
    assert "event popularity" in {one.of for one in seen.alerts if one.rule == "input_drift"}
    assert (of(seen, "psi", "event popularity").value or 0) > 1


def test_outcomes_are_those_of_old_enough_lists_alone(
    model: HybridModel, log: Log, served: Served
) -> None:
    young = MonitorConfig(**{**CONFIG.model_dump(), "attribution_hours": 24 * 13.9})
    found = monitor(log, model, START, UNTIL, config=young)
    old = [one for one in served[0] if one.time_us + 13.9 * DAY_US <= UNTIL]
    hits = [one for one in found.measures if one.key == ("hit", "lists")]
    assert [one.n for one in hits] == ([len(old)] if old else [])
    assert ("outcomes" in found.missing) == (not old)


def test_hits_are_counted_by_hand(model: HybridModel, place: Path, served: Served) -> None:
    # Of three people who were shown a list, the first plays what was on top of theirs, the second skips
    # it, the third plays it before the list was shown.
    shown = served[0][:3]
    top = [one.items[0].item_id for one in shown]
    played = [
        NewEvent(item, one.time_us + late, one.user_id, skipped=skipped)
        for item, one, late, skipped in zip(
            top, shown, (1, 1, -1), (False, True, False), strict=True
        )
    ]
    with log_of(place, played, shown) as other:
        found = monitor(other, model, START, UNTIL + 3 * DAY_US, config=CONFIG)
    assert of(found, "hit", "lists").value == pytest.approx(1 / 3)
    assert of(found, "hit", "places").value == pytest.approx(1 / 30)
    assert of(found, "candidate_recall").value == 1
    assert of(found, "candidate_recall").n == 1


def test_lists_that_begin_to_miss_are_an_alert_in_every_report_and_a_better_world_is_none(
    model: HybridModel, place: Path, served: Served
) -> None:
    # On one side of the middle people play the first item of their list, on the other one that was not on
    # it and that they had not met.
    lists = sorted(served[0], key=lambda one: one.time_us)
    half = lists[len(lists) // 2].time_us // DAY_US * DAY_US
    until = UNTIL + 3 * DAY_US
    dataset = model.dataset

    def played(one: Impression, hit: bool) -> NewEvent:
        met = dataset.queries([dataset.user_ids.row(one.user_id or "")]).item_row
        away = {*dataset.item_ids.decode(met), *(item.item_id for item in one.items)}
        other = next(name for name in dataset.item_ids.ids if name not in away)
        return NewEvent(one.items[0].item_id if hit else other, one.time_us + 1, one.user_id)

    rules = [{**rule.model_dump(), "min_n": 15} for rule in CONFIG.rules]
    config = MonitorConfig(**{**CONFIG.model_dump(), "rules": rules, "concept_delta": 0.5})
    for worse in (True, False):
        events = [played(one, (one.time_us < half) == worse) for one in lists]
        with log_of(place, events, lists) as log:
            # Only the second half is reported on: what was before is looked at all the same.
            first = monitor(log, model, half, until, config=config)
            for at in range(MIN_EARLIER):
                text = first.model_dump_json()
                log.monitoring.add_report(StoredReport(until - 1 - at, model.version, text))
            again = monitor(log, model, half, until, config=config)
        for found in (first, again):
            assert found.concept is not None
            assert found.concept.changed_us == half
            assert of(found, "loss_change", "lists").value == (1 if worse else -1)
            assert of(found, "loss", "lists").value == (1 if worse else 0)
            assert ("concept_drift" in {one.rule for one in found.alerts}) == worse
        assert of(again, "loss", "lists").n_usual == MIN_EARLIER


def test_a_report_from_before_losses_were_followed_can_still_be_read(report: MonitorReport) -> None:
    old = report.model_dump_json(exclude={"concept"})
    assert MonitorReport.read(old) == report.model_copy(update={"concept": None})


def test_what_is_usual_for_outcomes_comes_from_earlier_reports(
    model: HybridModel, place: Path, served: Served, report: MonitorReport
) -> None:
    with log_of(place, served[1], served[0]) as other:
        better = report.model_copy(
            update={
                "measures": tuple(
                    one.model_copy(update={"value": 0.99})
                    if one.name == "candidate_recall"
                    else one
                    for one in report.measures
                )
            }
        )
        for back in range(3):
            text = better.model_dump_json()
            other.monitoring.add_report(StoredReport(START - back, model.version, text))
        found = monitor(other, model, START, UNTIL, config=CONFIG)
    assert of(report, "candidate_recall").usual_low is None
    assert of(found, "candidate_recall").usual_low == 0.99
    assert of(found, "candidate_recall").n_usual == 3


def test_the_version_before_is_compared_by_neighbours(model: HybridModel, log: Log) -> None:
    found = monitor(log, model, START, UNTIL, config=CONFIG, previous=model)
    assert found.missing["neighbour_overlap"] == "no base of both versions has item vectors"


def test_an_empty_time_is_told_as_such(model: HybridModel, log: Log) -> None:
    log.traffic.add([Answered(at * DAY_US, "GET /", "failed", 1_000, 40) for at in (0, 2)])
    found = monitor(log, model, 0, DAY_US, config=CONFIG)
    assert found.n_lists == found.n_people == 0
    assert of(found, "requests", "GET /").value == 40
    assert "requests" not in found.missing
    assert {"lists", "outcomes"} <= set(found.missing)
    assert [one.rule for one in found.alerts] == ["requests_fail"]
    with pytest.raises(ConfigError, match="give a later end"):
        monitor(log, model, 5, 5)


def test_a_log_without_times_has_nothing_usual(place: Path) -> None:
    frame = WHOLE.with_ids().drop("timestamp", "session_id")
    untimed = Dataset.build(frame, WHOLE.items, name="untimed", target=WHOLE.target)
    made = fit(untimed, fusion="static")
    made.save(place / "untimed")
    with Log.open(f"sqlite:///{place / 'untimed.db'}") as empty:
        found = monitor(empty, made, 0, DAY_US, config=CONFIG)
    assert "usual" in found.missing
    assert pl.Series([one.n_usual for one in found.measures], dtype=pl.Int64).sum() == 0
