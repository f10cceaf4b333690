"""The weekly update: what is kept, what is learned, and that versions never mix."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.recommenders.two_tower.networks import assert_one_version, floats_of

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.errors import ConfigError, NotFittedError, TrainingError
from crossfade.recommenders.base import Change
from crossfade.recommenders.popularity import Popularity
from crossfade.recommenders.two_tower import fitting
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.recommender import TwoTower
from crossfade.recommenders.two_tower.weekly import carried_over, previous_vectors, update_users
from crossfade.types import Arrays

Versions = tuple[TwoTower, TwoTower, Dataset, Change]
"""The one before, the one after, and the data set and change between them."""

CHANGE = Change(
    item_rows=np.array([1, -1, 0], dtype=np.int32),
    user_rows=np.array([-1, 2, 0], dtype=np.int32),
    since_us=0,
)


def grown(old: Dataset) -> Dataset:
    """A week later: song 20 is played by the jazz listeners, there is a new listener and a song a21."""
    ids = {
        "user_id": old.user_ids.decode(old.events["user_row"].to_numpy()),
        "item_id": old.item_ids.decode(old.events["item_row"].to_numpy()),
    }
    before = pl.DataFrame({**ids, "timestamp": old.events["timestamp"]})
    assert old.time_us is not None
    later = to_datetime(int(old.time_us[-1]) + 10**9)
    new = [(f"u{u:02d}", song) for u in range(0, 16, 2) for song in ("s20", "a21")]
    new += [("a_newcomer", f"s{song:02d}") for song in range(10, 15)]
    since = pl.DataFrame(new, ["user_id", "item_id"], orient="row").with_columns(
        timestamp=pl.lit(later).cast(before["timestamp"].dtype)
    )
    song = {"item_id": ["a21"], "title": ["smoky club 99"], "genres": [["jazz"]], "energy": [0.2]}
    items = pl.concat([old.items, pl.DataFrame(song)], how="diagonal_relaxed")
    return Dataset.build(pl.concat([before, since]), items, name=old.name)


def change_of(old: Dataset, new: Dataset) -> Change:
    assert old.time_us is not None
    return Change(
        item_rows=old.item_ids.rows(new.item_ids.ids),
        user_rows=old.user_ids.rows(new.user_ids.ids),
        since_us=int(old.time_us[-1]) + 1,
    )


@pytest.fixture(scope="module")
def versions(two_camps: Dataset, quick: TwoTowerConfig) -> Versions:
    config = quick.changed(
        user={**quick.user.model_dump(), "id_dim": 4}, weekly={"epochs": 20, "lr": 3e-3}
    )
    old = TwoTower(config).fit(two_camps, seed=1)
    data = grown(two_camps)
    change = change_of(two_camps, data)
    return old, TwoTower(config).update(old, data, change, seed=2), data, change


# -- rows ----------------------------------------------------------------------------------


def test_weights_move_to_todays_rows_and_new_rows_start_at_zero() -> None:
    items = np.array([[1.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    users = np.array([[0.0], [10.0], [20.0], [30.0]], dtype=np.float32)  # strangers, then rows
    weights: Arrays = {
        "item.own.weight": items,
        "item.met.weight": -items,
        "user.users.weight": users,
        "item.skip.weight": items,
    }
    carried = carried_over(weights, CHANGE)
    assert carried["item.own.weight"].tolist() == [[2, 2], [0, 0], [1, 1]]
    assert carried["item.met.weight"].tolist() == [[-2, -2], [0, 0], [-1, -1]]
    assert carried["user.users.weight"].tolist() == [[0], [0], [30], [10]]
    assert carried["item.skip.weight"] is items


def test_previous_vectors_are_nan_for_new_items() -> None:
    before = np.array([[1.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    np.testing.assert_array_equal(
        previous_vectors(before, CHANGE), [[2, 2], [np.nan, np.nan], [1, 1]]
    )


@pytest.mark.parametrize(("replay", "n"), [(0.0, 9), (1.0, 18), (100.0, 41)])
def test_an_update_looks_at_the_active_and_as_many_others(
    two_camps: Dataset, replay: float, n: int
) -> None:
    data = grown(two_camps)
    change = change_of(two_camps, data)
    able = np.arange(41, dtype=np.int32)
    users = update_users(data, able, change, replay, np.random.default_rng(0))
    active = data.user_ids.rows(["a_newcomer", *(f"u{u:02d}" for u in range(0, 16, 2))])
    assert len(users) == n
    assert set(active.tolist()) <= set(users.tolist())


# -- an update -------------------------------------------------------------------------------


def test_vocabularies_and_text_encoder_are_those_of_the_version_before(
    versions: Versions,
) -> None:
    old, new, _, _ = versions
    for part in ("reader.schema.", "encoder."):
        kept = [name for name in old.state() if name.startswith(part)]
        assert kept
        for name in kept:
            np.testing.assert_array_equal(new.state()[name], old.state()[name])


def test_nothing_of_two_versions_is_ever_mixed(
    versions: Versions,
) -> None:
    old, new, data, change = versions
    assert_one_version(new, data)
    before = previous_vectors(floats_of(old)["item"], change)
    moved = np.abs(floats_of(new)["item"] - before).max(axis=1)
    assert (moved[change.item_rows >= 0][:-1] > 0).all()  # also of songs nobody played since


def test_an_update_goes_on_from_where_the_version_before_was(versions: Versions) -> None:
    # Vectors of two trainings from scratch differ by a rotation; those of an update do not.
    old, new, _, change = versions
    before, after = previous_vectors(floats_of(old)["item"], change), floats_of(new)["item"]
    cosines = np.nansum(before * after, axis=1)[(change.item_rows >= 0) & ~np.isnan(after[:, 0])]
    assert np.median(cosines) > 0.8
    loss, first = new.health["training"][0]["loss"][0], old.health["training"][0]["loss"][0]
    assert loss < 0.8 * first


def test_the_version_before_is_left_as_it_was(versions: Versions, two_camps: Dataset) -> None:
    old, _, _, _ = versions
    again = TwoTower(old.config).fit(two_camps, seed=1).state()
    for name, array in old.state().items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_new_people_and_songs_are_learned_and_old_ones_not_forgotten(
    versions: Versions,
) -> None:
    _, new, data, _ = versions
    row = data.item_ids.row
    jazz, metal = [row(f"s{n:02d}") for n in range(10)], [row(f"s{n}") for n in range(10, 20)]
    scores = new.score_batch(data.queries(range(data.n_users)))
    for user in ("a_newcomer", "u01", "u39"):
        mine = scores[data.user_ids.row(user)]
        assert mine[metal].min() > mine[jazz].max()
    mine = scores[data.user_ids.row("u18")]  # did nothing since
    assert mine[jazz].min() > mine[metal].max()
    assert mine[row("a21")] > mine[metal].max()
    assert mine[row("s20")] > mine[metal].max()


def test_the_newcomers_own_row_is_trained(
    versions: Versions,
) -> None:
    _, new, data, _ = versions
    table = new.state()["net0.user.users.weight"]
    assert len(table) == data.n_users + 1
    assert np.abs(table[1 + data.user_ids.row("a_newcomer")]).max() > 0
    assert not table[0].any()
    own = new.state()["net0.item.own.weight"]
    assert np.abs(own[data.item_ids.row("a21")]).max() > 0


def test_health_tells_how_far_neighbourhoods_stayed(
    versions: Versions,
) -> None:
    _, new, _, _ = versions
    assert 0.2 < new.health["neighbour_overlap"] <= 1
    assert len(new.health["training"][0]["loss"]) == 20


def test_equal_seeds_give_equal_updates(
    versions: Versions,
) -> None:
    old, new, data, change = versions
    again = TwoTower(old.config).update(old, data, change, seed=2)
    for name, array in new.state().items():
        np.testing.assert_array_equal(array, again.state()[name], err_msg=name)


def test_towers_of_another_shape_cannot_be_updated(
    versions: Versions,
) -> None:
    old, _, data, change = versions
    other = TwoTower(old.config.changed(output_dim=4, encoder="minilm"))
    with pytest.raises(ConfigError, match="output_dim, encoder differ from the previous version"):
        other.update(old, data, change)


def test_a_version_that_was_never_fitted_cannot_be_updated(two_camps: Dataset) -> None:
    data = grown(two_camps)
    with pytest.raises(NotFittedError):
        TwoTower().update(TwoTower(), data, change_of(two_camps, data))


def test_a_change_from_another_data_set_is_refused(versions: Versions, two_camps: Dataset) -> None:
    old, _, data, change = versions
    foreign = Change(change.item_rows + 5, change.user_rows, change.since_us)
    with pytest.raises(ValueError, match="previous version has 23 items"):
        TwoTower(old.config).update(old, data, foreign)


def test_a_model_without_anything_to_keep_is_fitted_afresh(two_camps: Dataset) -> None:
    data = grown(two_camps)
    change, queries = change_of(two_camps, data), data.queries([0])
    updated = Popularity().update(Popularity().fit(two_camps), data, change)
    expected = Popularity().fit(data).score_batch(queries)
    np.testing.assert_array_equal(updated.score_batch(queries), expected)
    assert TwoTower.updates > Popularity.updates


# -- a run that was killed ---------------------------------------------------------------------


def test_a_killed_fit_goes_on_and_ends_as_if_it_had_not_been(
    two_camps: Dataset,
    quick: TwoTowerConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = {**quick.examples.model_dump(), "min_steps": 6}
    config = quick.changed(
        checkpoint=str(tmp_path / "runs"),
        examples=examples,
        train={**quick.train.model_dump(), "epochs": 6},
    )
    epochs: list[int] = []
    begin = fitting._Loss.begin_epoch

    def killed(loss: fitting._Loss, epoch: int) -> None:
        epochs.append(epoch)
        if epochs == [1, 2, 3, 4]:
            raise TrainingError("killed")
        begin(loss, epoch)

    monkeypatch.setattr(fitting._Loss, "begin_epoch", killed)
    with pytest.raises(TrainingError, match="killed"):
        TwoTower(config).fit(two_camps)
    assert len(list((tmp_path / "runs").iterdir())) == 1
    resumed = TwoTower(config).fit(two_camps)
    assert epochs == [1, 2, 3, 4, 4, 5, 6]
    assert list((tmp_path / "runs").iterdir()) == []  # done, so nothing is left
    whole = TwoTower(config.changed(checkpoint=None)).fit(two_camps)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[name], array, err_msg=name)


def test_runs_on_other_parts_of_a_log_do_not_meet_in_the_directory(
    two_camps: Dataset, quick: TwoTowerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick.changed(checkpoint=str(tmp_path), examples={"min_steps": 1})
    half = two_camps.where(two_camps.events["user_row"] < 20)
    assert two_camps.time_us is not None

    def killed(loss: fitting._Loss, epoch: int) -> None:
        if epoch == 2:
            raise TrainingError("killed")

    monkeypatch.setattr(fitting._Loss, "begin_epoch", killed)
    for data, seed in ((two_camps, 0), (half, 0), (two_camps, 1)):
        with pytest.raises(TrainingError, match="killed"):
            TwoTower(config).fit(data, seed)
    assert len(list(tmp_path.iterdir())) == 3
