"""The companion in the item tower: what it leaves alone, what it may read, and that it is kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.recommenders.two_tower.networks import assert_one_version, floats_of, towers_of
from tests.recommenders.two_tower.test_towers import SIZES, _items
from tests.recommenders.two_tower.test_weekly import change_of, grown

from crossfade.data import Dataset
from crossfade.errors import ConfigError, TrainingError
from crossfade.recommenders.two_tower import fitting
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.recommender import TwoTower
from crossfade.recommenders.two_tower.towers import TwoTower as Towers

SIZE = {"units": 8, "grow_at": (0.5,), "grow_units": 4, "prune_at": (0.75,), "prune_units": 1}
ON = {"on": True, "width": 8, **SIZE}


def _towers(*, gate: float | None = None) -> Towers:
    """Untrained towers with a companion, whose gates may be open, or, without a gate, without it."""
    synthesis = {**ON, "on": gate is not None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = TwoTowerConfig(
            item={"synthesis": synthesis, "rating_dim": 5}, examples={"order": "future"}
        )
        network = Towers(config, SIZES).eval()
    if gate:  # else as it was built
        assert network.item.companion is not None
        torch.nn.init.constant_(network.item.companion.gate, gate)
    return network


@pytest.fixture(scope="module")
def settings(quick: TwoTowerConfig) -> TwoTowerConfig:
    item = {**quick.item.model_dump(), "synthesis": ON}
    return quick.changed(item=item)


@pytest.fixture(scope="module")
def fitted(two_camps: Dataset, settings: TwoTowerConfig) -> TwoTower:
    return TwoTower(settings).fit(two_camps, 0)


def test_an_untrained_companion_equals_towers_without_one_to_the_last_bit() -> None:
    # P-05, and weights of the rest begin as they would without it.
    without, beside = _towers(), _towers(gate=0.0)
    for known in (True, False):
        for one, other in zip(
            without.item(_items(known=known)), beside.item(_items(known=known)), strict=True
        ):
            assert torch.equal(one, other)
    weights = beside.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in without.state_dict().items())


def test_only_items_without_a_vector_of_their_own_get_synthetic_features() -> None:
    without, beside = _towers(), _towers(gate=1.0)
    assert torch.equal(without.item(_items())[0], beside.item(_items())[0])
    assert not torch.allclose(
        without.item(_items(known=False))[0], beside.item(_items(known=False))[0]
    )
    # What is pooled in histories stays as it is, so reasons that name sound stay exact.
    assert torch.equal(without.item(_items(known=False))[1], beside.item(_items(known=False))[1])


def test_nothing_that_people_did_reaches_the_companion() -> None:
    # P-10: neither ratings as of the request nor which item it is, or whether anybody knows it.
    network = _towers(gate=1.0)
    items = _items()

    def made(items: Any) -> torch.Tensor:
        synthetic = network.item.made(items)[2]
        assert synthetic is not None
        return synthetic.added

    others = replace(
        items,
        rating=torch.full((6, 10), 0.9),
        row=items.row.flip(0),
        has_id=torch.zeros(6, 1),
    )
    assert torch.equal(made(items), made(others))
    assert not torch.equal(made(items), made(replace(items, text=items.text.flip(0))))


def test_what_is_unknown_of_an_item_is_absent() -> None:
    network = _towers(gate=1.0)
    assert network.item.companion is not None
    names = network.item.companion.names
    items = replace(
        _items(),
        text=torch.zeros(6, 384),
        creator=torch.zeros(6, dtype=torch.long),
        confidence=torch.zeros(6, 8),
        audio=torch.zeros(6, 8),
    )
    made = network.item.made(items)[2]
    assert made is not None
    shares = dict(zip(names, made.weights[0].tolist(), strict=True))
    # A genre is all there is: moods are padding, year and duration are missing.
    assert shares == {"text": 0, "creator": 0, "genres": 1, "moods": 0, "audio": 0, "numeric": 0}


def test_the_gradient_of_the_loss_reaches_the_companion(fitted: TwoTower) -> None:
    # P-01 and P-09: it was trained, although every item of the log has a vector of its own.
    (told,) = fitted.health["synthesis"]
    assert min(abs(told["gates"][name]) for name in ("text", "genres", "audio")) > 0
    assert sum(told["shares"].values()) == pytest.approx(22 / 23)  # of one nothing is known
    assert told["units"] == 8 + 4 - 1


def test_the_penalty_is_in_the_loss(
    fitted: TwoTower, two_camps: Dataset, settings: TwoTowerConfig
) -> None:
    # P-02
    def opened(model: TwoTower) -> float:
        return float(np.abs(list(model.health["synthesis"][0]["gates"].values())).sum())

    item = {**settings.item.model_dump(), "synthesis": {**ON, "l1": 1e3}}
    penalised = TwoTower(settings.changed(item=item)).fit(two_camps, 0)
    assert opened(penalised) < 0.5 * opened(fitted)


def test_all_that_is_served_follows_from_the_weights_that_are_kept(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    assert_one_version(fitted, two_camps)
    again = TwoTower(fitted.config)
    again._restore(fitted.state())
    assert again.health == fitted.health
    queries = two_camps.queries(np.arange(3, dtype=np.int32))
    np.testing.assert_array_equal(again._score(queries), fitted._score(queries))


def test_an_update_goes_on_with_the_companion_and_leaves_its_size(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    newer = grown(two_camps)
    updated = TwoTower(fitted.config).update(fitted, newer, change_of(two_camps, newer), 1)
    assert_one_version(updated, newer)
    before, after = (towers_of(model).item.companion for model in (fitted, updated))
    assert before is not None
    assert after is not None
    assert not torch.equal(before.gate, after.gate)
    assert after.units.n_working == before.units.n_working == 11


def test_a_killed_fit_grows_when_it_goes_on_as_if_it_had_not_been(
    two_camps: Dataset,
    settings: TwoTowerConfig,
    fitted: TwoTower,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P-07: size, weights and what the optimiser remembers are one checkpoint.
    kept = settings.changed(checkpoint=str(tmp_path))
    call = fitting._Loss.__call__
    n_steps = 0

    def killed(self: Any, network: Towers, step: Any) -> torch.Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 25:
            raise TrainingError("killed")
        return call(self, network, step)

    monkeypatch.setattr(fitting._Loss, "__call__", killed)
    with pytest.raises(TrainingError, match="killed"):
        TwoTower(kept).fit(two_camps, 0)
    monkeypatch.setattr(fitting._Loss, "__call__", call)
    resumed = TwoTower(kept).fit(two_camps, 0)
    one, other = floats_of(fitted), floats_of(resumed)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_a_companion_needs_something_to_read() -> None:
    nothing = {"text": False, "numeric": False}
    widths = ("creator_dim", "genre_dim", "mood_dim", "audio_dim")
    with pytest.raises(ConfigError, match=r"item\.synthesis reads nothing"):
        TwoTowerConfig(item={**nothing, **dict.fromkeys(widths, 0), "synthesis": {"on": True}})
