"""Gates that read context through extractors: for all of them, the claims of gates and of masks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.gate import gates
from tests.fusion.gate.gates import TINY, planted

from crossfade.context.columns import SOURCE, UNCERTAINTY_NAMES, request_modalities
from crossfade.features.dictionary import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.social import SOCIAL
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.inputs import GateReader, item_names
from crossfade.fusion.registry import make_fusion
from crossfade.types import Floats

NAN = np.float32(np.nan)
GATES = ["meta", "attention", "hypernetwork", "personalised"]
EXTRACTORS: dict[str, Any] = {**TINY, "reading": "extractors", "train": {"epochs": 2, "lr": 0.01}}
USER = (
    *SESSION_FEATURE_NAMES,
    *TEMPORAL_FEATURE_NAMES,
    "kind",
    "context_weather",
)
ITEM = (*(name for name in UNCERTAINTY_NAMES if name != SOURCE), *SOCIAL, "genre_match")


def rich(seed: int = 0, **more: Any) -> LabelledSignals:
    """The planted rule among columns of every modality, a fifth of them unknown."""
    found = planted(seed, **more)
    rng = np.random.default_rng(seed + 50)
    assert found.signals.user is not None
    n, n_items = found.signals.mask.shape
    user = _with_gaps(rng, n, len(USER))
    user[:, USER.index("kind")] = found.signals.user[:, 0]
    signals = replace(
        found.signals,
        user=user,
        item=_with_gaps(rng, n, n_items, len(ITEM)),
        columns=replace(found.signals.columns, user=USER, item=ITEM),
    )
    return replace(found, signals=signals)


def _with_gaps(rng: np.random.Generator, *shape: int) -> Floats:
    values = rng.normal(size=shape).astype(np.float32)
    values[rng.random(shape) < 0.2] = NAN
    return values


@pytest.fixture(scope="module", params=GATES)
def model(request: pytest.FixtureRequest) -> Any:
    fitted: Any = make_fusion(request.param, EXTRACTORS).fit(rich(0), rich(1), seed=3)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        # A head that kept its start is silent, and would hide what is read.
        for weight in fitted._network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return fitted


def answers(model: Any, user: Floats | None = None, item: Floats | None = None) -> Any:
    signals = rich(2, n=7).signals
    return model.forward(
        replace(
            signals,
            user=signals.user if user is None else user,
            item=signals.item if item is None else item,
        )
    ).score


# -- what every gate keeps -------------------------------------------------------------


@pytest.mark.parametrize("session", ["mlp", "attention"])
def test_a_restored_gate_with_extractors_is_the_same_to_the_bit(session: str) -> None:
    settings = {**EXTRACTORS, "session": session}
    model = make_fusion("meta", settings).fit(rich(0), rich(1), seed=3)
    again = type(model).restore(model.config.model_dump(), model.state())
    np.testing.assert_array_equal(answers(again), answers(model))
    for key, array in model.state().items():
        np.testing.assert_array_equal(again.state()[key], array)


def test_every_gate_with_extractors_is_restored_to_the_bit(model: Any) -> None:
    again = type(model).restore(model.config.model_dump(), model.state())
    np.testing.assert_array_equal(answers(again), answers(model))


@pytest.mark.parametrize("name", GATES)
def test_training_starts_at_the_static_blend_whatever_is_read(name: str) -> None:
    untrained = {"train": {"epochs": 1, "lr": 1e-12}}
    settings = {**EXTRACTORS, **untrained}
    ours, theirs = (
        make_fusion(name, chosen).fit(rich(0), rich(1), seed=3).forward(rich(2).signals)
        for chosen in (settings, {**settings, "reading": "plain"})
    )
    gates.close(ours.score, theirs.score)
    gates.close(ours.weights, theirs.weights)


def test_other_requests_of_a_batch_change_nothing(model: Any) -> None:
    together, signals = answers(model), rich(2, n=7).signals
    for place in range(7):
        gates.close(model.forward(signals.take(np.array([place]))).score, together[[place]])


@pytest.mark.parametrize("name", GATES)
def test_equal_seeds_give_equal_gates(name: str) -> None:
    one, other = (make_fusion(name, EXTRACTORS).fit(rich(0), rich(1), seed=3) for _ in range(2))
    np.testing.assert_array_equal(answers(one), answers(other))


@pytest.mark.parametrize("name", ["meta", "hypernetwork"])
def test_extractors_learn_whom_to_trust(name: str) -> None:
    settings = {**EXTRACTORS, "train": {"epochs": 12, "lr": 0.01}}
    fused = make_fusion(name, settings).fit(rich(0), rich(1), seed=3).forward(rich(2).signals)
    there = np.asarray(rich(2).signals.available.all(axis=-1))
    even = np.arange(len(there))[:, None] % 2 == 0
    assert fused.weights[there & even][:, 0].mean() > 2 * fused.weights[there & even][:, 1].mean()
    assert fused.weights[there & ~even][:, 1].mean() > 2 * fused.weights[there & ~even][:, 0].mean()


# -- masks -----------------------------------------------------------------------------


def test_what_stands_where_nothing_is_known_has_no_influence(model: Any) -> None:
    batch = model._read(rich(2, n=7).signals)
    parts = {}
    for key in ("user", "item"):
        told = getattr(batch, key)
        values, known = told.chunk(2, dim=-1)
        spoiled = torch.where(known > 0, values, torch.full_like(values, 1e6))
        parts[key] = torch.cat([spoiled, known], dim=-1)
        assert not torch.equal(parts[key], told)
    with torch.no_grad():
        one, other = model._network(batch), model._network(replace(batch, **parts))
    assert torch.equal(one.score, other.score)
    assert torch.equal(one.weights, other.weights)


@pytest.mark.parametrize(
    "names", [SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES, ("context_weather",), ("kind",)]
)
def test_every_modality_of_a_request_is_read(model: Any, names: tuple[str, ...]) -> None:
    user = rich(2, n=7).signals.user
    assert user is not None
    user = user.copy()
    user[:, [USER.index(name) for name in names]] = NAN
    assert (np.abs(answers(model, user=user) - answers(model)) > 1e-6).any()


def test_a_modality_moves_the_answer_exactly_where_it_has_a_weight(model: Any) -> None:
    # Cross-modal weights are real: what had none can be hidden and nothing moves, to the bit.
    signals = rich(2, n=40).signals
    weights, before = model.modality_weights(signals), model.forward(signals).score
    for name, columns in request_modalities(USER).items():
        user = np.array(signals.user)
        user[:, [USER.index(column) for column in columns]] = NAN
        hidden = replace(signals, user=user)
        weight = weights[f"request.{name}"]
        moved = np.nan_to_num(np.abs(model.forward(hidden).score - before)).max(axis=1)
        np.testing.assert_array_equal(moved > 0, weight > 0)
        assert not model.modality_weights(hidden)[f"request.{name}"].any()
    assert 0 < np.count_nonzero(weights["request.environment"]) < 40  # a fifth came without one
    for side, shape in (("request", (40,)), ("candidate", (40, 15))):
        total = np.sum([w for name, w in weights.items() if name.startswith(side)], axis=0)
        np.testing.assert_allclose(total, np.ones(shape), rtol=1e-5)


def test_a_hidden_modality_of_candidates_moves_just_those_in_which_it_weighs(model: Any) -> None:
    signals = rich(2, n=9).signals
    item = np.array(signals.item)
    friends = [ITEM.index(name) for name in SOCIAL]
    item[:, ::2, friends] = NAN  # every second candidate has no friends' word
    told = replace(signals, item=item)
    weight = model.modality_weights(told)["candidate.social"]
    assert not weight[:, ::2].any()
    alone = item.copy()
    alone[..., friends] = NAN
    moved = model.forward(replace(told, item=alone)).weights - model.forward(told).weights
    changed = np.nan_to_num(np.abs(moved)).max(axis=2) > 0
    there = np.asarray(signals.available.sum(axis=2) > 1)  # with one base alone there is no choice
    if model.name != "attention":  # whose candidates look at one another
        np.testing.assert_array_equal(changed[there], (weight > 0)[there])


def test_a_plain_reading_weighs_no_modalities() -> None:
    settings = {**EXTRACTORS, "reading": "plain"}
    plain: Any = make_fusion("meta", settings).fit(rich(0), rich(1), seed=3)
    assert plain.modality_weights(rich(2, n=3).signals) == {}


@pytest.mark.parametrize("name", ["energy_confidence", "log_users", *SOCIAL, "genre_match"])
def test_every_modality_of_a_candidate_is_read(model: Any, name: str) -> None:
    item = rich(2, n=7).signals.item
    assert item is not None
    item = item.copy()
    item[..., ITEM.index(name)] += 1
    assert (np.abs(answers(model, item=item) - answers(model)) > 1e-6).any()


def test_a_column_that_training_never_knew_has_no_influence() -> None:
    place = ITEM.index("friend_share")

    def without(labelled: LabelledSignals) -> LabelledSignals:
        assert labelled.signals.item is not None
        item = labelled.signals.item.copy()
        item[..., place] = NAN
        return replace(labelled, signals=replace(labelled.signals, item=item))

    model = make_fusion("meta", EXTRACTORS).fit(without(rich(0)), without(rich(1)), seed=3)
    assert rich(2, n=7).signals.item is not None
    hidden = without(rich(2, n=7)).signals.item
    np.testing.assert_array_equal(answers(model), answers(model, item=hidden))


# -- the reader ------------------------------------------------------------------------


def test_extractors_are_told_where_audio_values_come_from() -> None:
    signals = rich(0).signals
    assert item_names(signals.columns, "plain") == ITEM
    names = item_names(signals.columns, "extractors")
    assert names == (*ITEM, SOURCE)
    batch = GateReader.fit(signals, "meta", "extractors").read(signals)
    assert batch.item.shape[-1] == 2 * len(names)
    assert batch.user.shape[-1] == 2 * len(USER)
    # Known wherever some audio value and its confidence are.
    assert signals.item is not None
    known = np.isfinite(signals.item)
    told = (known[..., :8] & known[..., 8:16]).any(axis=-1)
    np.testing.assert_array_equal(batch.item[..., -1].numpy() > 0, told)


def test_without_audio_there_is_no_such_column() -> None:
    columns = planted(0, n=2).signals.columns
    assert item_names(columns, "extractors") == columns.item


@pytest.mark.parametrize("reading", ["plain", "extractors"])
def test_a_restored_reader_reads_the_same_either_way(reading: Any) -> None:
    signals = rich(0, n=5).signals
    reader = GateReader.fit(signals, "meta", reading)
    one = reader.read(signals)
    other = GateReader.from_arrays(reader.to_arrays(), reading).read(signals)
    assert torch.equal(one.item, other.item)
    assert torch.equal(one.user, other.user)
