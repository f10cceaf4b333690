"""Labelled lists with context: scores, both scales, context and answers of the same requests."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.splits import ProtocolConfig, ProtocolName, Trial, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.fusion.base import LabelledSignals
from crossfade.meta import contextual as module
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.context import ContextReader
from crossfade.meta.contextual import contextual_signals
from crossfade.meta.signals import sampled, stacked, taken, trial_signals
from crossfade.meta.track import TrackRecord, preceding_trial
from crossfade.types import Csr, Floats

N_CANDIDATES = 12
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=200, n_plays=5_000), seed=4).dataset


@pytest.fixture(scope="module")
def trial(world: Dataset) -> Trial:
    return make_plan(world, ProtocolConfig(), seed=0).fuse


@pytest.fixture(scope="module")
def fitted(trial: Trial) -> dict[str, Any]:
    return dict(fit_bases(BASES, trial.train, seed=0))


@pytest.fixture(scope="module")
def track(trial: Trial) -> TrackRecord:
    before = preceding_trial(trial.train, ProtocolConfig(), seed=0)
    assert before is not None
    return TrackRecord.of(before, list(fit_bases(BASES, before.train, seed=0).values()))


def build(
    trial: Trial, bases: dict[str, Any], track: TrackRecord, max_requests: int = 1000, seed: int = 0
) -> LabelledSignals:
    config = BlendConfig(n_candidates=N_CANDIDATES, max_requests=max_requests)
    return contextual_signals(trial, bases, track, config=config, seed=seed)


def same(one: LabelledSignals, other: LabelledSignals) -> None:
    for name in ("item_row", "relevant", "n_relevant"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.signals.columns == other.signals.columns
    for name in ("score", "mask", "reciprocal_rank", "user", "item", "user_row"):
        np.testing.assert_array_equal(getattr(one.signals, name), getattr(other.signals, name))


# -- what they hold --------------------------------------------------------------------


def test_lists_scores_and_answers_are_those_without_context(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    found = build(trial, fitted, track)
    plain = trial_signals(
        trial,
        list(fitted.values()),
        ("zscore", "reciprocal_rank"),
        n_candidates=N_CANDIDATES,
        max_requests=1000,
        seed=0,
    )
    for name in ("item_row", "relevant", "n_relevant"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain["zscore"], name))
    np.testing.assert_array_equal(found.signals.score, plain["zscore"].signals.score)
    ranks = plain["reciprocal_rank"].signals.score
    np.testing.assert_array_equal(found.signals.reciprocal_rank, ranks)
    assert found.relevant.any()


def test_context_is_that_of_the_training_log(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    found = build(trial, fitted, track)
    reader = ContextReader(trial.train, tuple(BASES), track)
    signals = found.signals
    np.testing.assert_array_equal(signals.user, reader.user(trial.queries))
    np.testing.assert_array_equal(signals.item, reader.item(trial.queries, found.item_row))
    np.testing.assert_array_equal(signals.user_row, trial.queries.user_row)
    assert signals.columns.bases == tuple(BASES)
    assert signals.columns.user == reader.user_columns
    assert signals.columns.item == reader.item_columns


def test_padding_holds_nothing(trial: Trial, fitted: dict[str, Any], track: TrackRecord) -> None:
    found = build(trial, fitted, track)
    padding = ~found.signals.mask
    assert padding.any()
    assert (found.item_row[padding] == -1).all()
    assert not found.relevant[padding].any()
    for array in (found.signals.score, found.signals.reciprocal_rank, found.signals.item):
        assert array is not None
        assert np.isnan(array[padding]).all()


def test_hidden_items_are_not_proposed(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    before = build(trial, fitted, track)
    hide = np.zeros(trial.relevant.shape, dtype=np.float32)
    proposed = before.item_row[:, 0]
    hide[np.arange(len(proposed)), proposed] = 1
    after = build(replace(trial, hidden=Csr(hide)), fitted, track)
    assert not (after.item_row == proposed[:, None]).any()


# -- batches and samples ---------------------------------------------------------------


@pytest.mark.parametrize("n_requests", [1, 7])
def test_the_size_of_batches_changes_nothing(
    trial: Trial,
    fitted: dict[str, Any],
    track: TrackRecord,
    n_requests: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = build(trial, fitted, track)
    monkeypatch.setattr(module, "MAX_CELLS", n_requests * trial.queries.n_items)
    same(build(trial, fitted, track), whole)


def test_a_sample_is_a_part_of_the_whole(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    whole, part = build(trial, fitted, track), build(trial, fitted, track, max_requests=9, seed=3)
    assert len(part) == 9
    same(part, build(trial, fitted, track, max_requests=9, seed=3))
    assert part.signals.user_row is not None
    assert whole.signals.user_row is not None
    places = np.searchsorted(whole.signals.user_row, part.signals.user_row)
    picked = whole.take(places)
    width = part.item_row.shape[1]
    np.testing.assert_array_equal(part.item_row, picked.item_row[:, :width])
    np.testing.assert_array_equal(part.signals.user, picked.signals.user)
    assert picked.signals.item is not None
    np.testing.assert_array_equal(part.signals.item, picked.signals.item[:, :width])
    np.testing.assert_array_equal(part.n_relevant, picked.n_relevant)


@pytest.mark.parametrize("hides", [True, False])
def test_some_requests_of_a_trial_keep_what_is_theirs(trial: Trial, hides: bool) -> None:
    n, n_items = trial.relevant.shape
    hidden = Csr((np.arange(n * n_items).reshape(n, n_items) % 7 == 0).astype(np.float32))
    whole = replace(trial, hidden=hidden if hides else None)
    places = np.array([4, 0, 4])
    part = taken(whole, places)
    np.testing.assert_array_equal(part.queries.user_row, trial.queries.user_row[places])
    np.testing.assert_array_equal(part.relevant.toarray(), trial.relevant.toarray()[places])
    assert (part.train, part.name, part.exclude_seen) == (trial.train, trial.name, True)
    assert part.candidates is trial.candidates
    if hides:
        assert part.hidden is not None
        np.testing.assert_array_equal(part.hidden.toarray(), hidden.toarray()[places])
    else:
        assert part.hidden is None


def test_a_small_trial_is_not_sampled_and_a_sample_is_in_order(trial: Trial) -> None:
    n = len(trial.queries)
    assert sampled(trial, n, seed=0) is trial
    users = sampled(trial, n - 1, seed=0).queries.user_row.tolist()
    assert len(set(users)) == n - 1
    assert users == sorted(users)
    assert users != sampled(trial, n - 1, seed=1).queries.user_row.tolist()


# -- one below the other ---------------------------------------------------------------


def test_blocks_one_below_the_other_are_as_wide_as_the_widest(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    whole = build(trial, fitted, track)
    narrow = contextual_signals(trial, fitted, track, config=BlendConfig(n_candidates=2), seed=0)
    both = stacked([narrow, whole])
    n = len(whole)
    assert both.item_row.shape == (2 * n, whole.item_row.shape[1])
    same(both.take(np.arange(n, 2 * n)), whole)
    width = narrow.item_row.shape[1]
    first = both.take(np.arange(n))
    np.testing.assert_array_equal(first.item_row[:, :width], narrow.item_row)
    assert (first.item_row[:, width:] == -1).all()
    assert not first.signals.mask[:, width:].any()
    assert not first.relevant[:, width:].any()
    assert np.isnan(first.signals.score[:, width:]).all()


def test_blocks_of_other_bases_cannot_be_stacked(
    trial: Trial, fitted: dict[str, Any], track: TrackRecord
) -> None:
    renamed = {f"other_{label}": base for label, base in fitted.items()}
    with pytest.raises(ValueError, match="only signals with the same columns"):
        stacked([build(trial, fitted, track), build(trial, renamed, track)])


# -- the time rule ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["time", "repeat"])
def test_what_happens_from_the_block_on_changes_nothing_but_the_answers(
    world: Dataset, name: ProtocolName
) -> None:
    # The canary: in the other world everybody plays the same three items from the block on.
    plan = make_plan(world, ProtocolConfig(name=name), seed=0)
    trial = plan.fuse
    assert trial.queries.as_of_us is not None
    assert trial.train.time_us is not None
    cut = int(trial.train.time_us[-1]) + 1
    early = np.asarray(world.events["timestamp"].to_physical().to_numpy() < cut)
    item = world.events["item_row"].to_numpy()
    absurd = np.where(early, item, item % 3).astype(np.int32)
    events = world.events.with_columns(item_row=absurd)
    other = replace(world, events=events)
    bases = dict(fit_bases(BASES, trial.train, seed=0))
    track = TrackRecord.empty(world.n_users, len(bases))
    asked = trial.queries.user_row, np.full(len(trial.queries), cut, dtype=np.int64)
    seen = []
    for data in (world, other):
        past = replace(data, events=data.events.filter(early))
        queries = data.queries(*asked)
        seen.append(build(replace(trial, train=past, queries=queries), bases, track))
    same(*seen)


class Fixed:
    """A base that gives everybody the same scores."""

    name = "fixed"

    def __init__(self, scores: Sequence[float] | Floats) -> None:
        self.scores = np.array(scores, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        return np.tile(self.scores, (len(queries), 1))


def test_bases_that_can_score_nobody_leave_empty_lists(trial: Trial, track: TrackRecord) -> None:
    mute = {label: Fixed([math.nan] * trial.queries.n_items) for label in BASES}
    found = build(trial, mute, track)
    assert not found.signals.mask.any()
    assert not found.signals.available.any()
    assert (found.n_relevant > 0).all()
