"""Blending somebody else's scores: who teaches, who judges, what may serve, what is written."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import pytrec_eval

from crossfade.errors import ConfigError, DataError
from crossfade.evaluation import EvaluationConfig
from crossfade.fusion.auto import AutoFusion
from crossfade.meta import outside_fusing
from crossfade.meta.blending import BlendConfig
from crossfade.meta.outside import OutsideLists, make_lists
from crossfade.meta.outside_events import Events
from crossfade.meta.outside_fusing import CONTEXT_FREE, OutsideBlend, learn_outside, split_people
from crossfade.meta.outside_report import (
    fused_lists,
    judge_outside,
    mean_weights,
    n_answered,
    write_lists,
)
from crossfade.meta.outside_table import ScoreTable
from crossfade.types import Doubles

N_USERS, N_ITEMS = 160, 30
QUICK = EvaluationConfig(resamples=200)
STATIC = BlendConfig(fusion="static")
USERS = [f"u{user:03d}" for user in range(N_USERS)]
ITEMS = [f"i{item:02d}" for item in range(N_ITEMS)]


def truth() -> Doubles:
    return np.random.default_rng(0).normal(size=(N_USERS, N_ITEMS))


def noisy(seed: int, noise: float) -> Doubles:
    return truth() + noise * np.random.default_rng(seed).normal(size=(N_USERS, N_ITEMS))


def table(**bases: Doubles) -> ScoreTable:
    """Everybody's scores of everything by some bases, each ``(N_USERS, N_ITEMS)``."""
    empty = pl.Series([None] * N_USERS, dtype=pl.String)
    requests = pl.DataFrame({"user_id": USERS, "timestamp": empty, "request_id": empty})
    return ScoreTable(
        requests.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC"))),
        np.arange(0, N_USERS * N_ITEMS + 1, N_ITEMS),
        pl.Series(ITEMS * N_USERS),
        np.stack([scores.ravel() for scores in bases.values()], axis=1),
        tuple(bases),
    )


def events(n_users: int = N_USERS) -> Events:
    """What the first users wanted: the two items that are truly best for them."""
    best = np.argsort(-truth(), axis=1)[:n_users, :2]
    log = pl.DataFrame(
        {
            "user_id": np.repeat(USERS[:n_users], 2),
            "item_id": [ITEMS[item] for item in best.ravel()],
        }
    )
    return Events("log", log=log)


def lists_of(n_users: int = N_USERS, /, **bases: Doubles) -> OutsideLists:
    return make_lists(table(**bases), events(n_users))


@cache
def two() -> OutsideLists:
    """Two bases that err in different places: their mean is better than each."""
    return lists_of(x=noisy(1, 1.5), y=noisy(2, 1.7))


@cache
def blended() -> OutsideBlend:
    return learn_outside(two(), STATIC)


# -- who teaches -----------------------------------------------------------------------


def test_nobody_is_in_two_parts_and_all_with_an_outcome_are_in_one() -> None:
    lists = lists_of(100, x=noisy(1, 1))
    split = split_people(lists, (0.5, 0.3, 0.2), seed=3)
    parts = [set(lists.user_row[part].tolist()) for part in vars(split).values()]
    assert [len(part) for part in parts] == [50, 30, 20]
    assert set.union(*parts) == set(range(100))
    again, other = split_people(lists, (0.5, 0.3, 0.2), 3), split_people(lists, (0.5, 0.3, 0.2), 4)
    np.testing.assert_array_equal(split.test, again.test)
    assert set(split.test) != set(other.test)


def test_all_requests_of_one_person_go_together() -> None:
    lists = two()
    thrice = replace(
        lists,
        user_row=np.repeat(lists.user_row, 3)[:N_USERS],
    )
    parts = [set(thrice.user_row[part].tolist()) for part in vars(split_people(thrice)).values()]
    assert sum(len(part) for part in parts) == len(set.union(*parts))


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (4, [2, 1, 1])]
)
def test_few_people_are_divided_as_far_as_they_go(n: int, sizes: list[int]) -> None:
    split = split_people(lists_of(n, x=noisy(1, 1)))
    assert [len(part) for part in vars(split).values()] == sizes


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (1.5, -0.25, -0.25)])
def test_shares_must_be_shares(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="shares must be above 0 and sum to 1"):
        split_people(two(), shares)


# -- what is learned -------------------------------------------------------------------


def test_two_bases_that_err_apart_are_better_together() -> None:
    blend = blended()
    assert blend.serves == "static"
    assert blend.best_base == "x"
    assert blend.calibrate_blend > blend.calibrate_base
    report = judge_outside(two(), blend, 10, QUICK)
    assert [model.name for model in report.models] == ["static", "x", "y"]
    (gain,) = report.gains
    assert gain.low < gain.mean < gain.high
    assert gain.mean > 0
    assert gain.mean == pytest.approx(report.of("static").mean - report.of("x").mean)


def test_the_report_says_what_trec_eval_says_of_the_raw_scores() -> None:
    blend, scores = blended(), {"x": noisy(1, 1.5), "y": noisy(2, 1.7)}
    report = judge_outside(two(), blend, 10, QUICK)
    best = np.argsort(-truth(), axis=1)[:, :2]
    held_out = two().user_row[blend.split.test].tolist()
    wanted = {USERS[user]: {ITEMS[item]: 1 for item in best[user]} for user in held_out}
    judge = pytrec_eval.RelevanceEvaluator(wanted, {"ndcg_cut.10"})
    for base, values in scores.items():
        run = {
            USERS[user]: dict(zip(ITEMS, map(float, values[user]), strict=True))
            for user in held_out
        }
        found = [line["ndcg_cut_10"] for line in judge.evaluate(run).values()]
        assert report.of(base).mean == pytest.approx(np.mean(found), abs=1e-6)
        assert report.of(base).n == len(held_out) == 40


def test_equal_seeds_give_equal_blends() -> None:
    first, second = (learn_outside(two(), BlendConfig(), seed=5) for _ in range(2))
    assert fused_lists(two(), first).equals(fused_lists(two(), second))


def test_auto_tries_what_needs_no_context_where_there_is_none() -> None:
    blend = learn_outside(two(), BlendConfig(), compare=["rrf", "fwls", "meta", "hard_selection"])
    assert list(blend.models) == ["auto", "rrf"]
    auto = blend.models["auto"]
    assert isinstance(auto, AutoFusion)
    assert set(auto.config.candidates) == set(CONTEXT_FREE)
    chosen = BlendConfig(fusion_settings={"auto": {"candidates": ["rrf"], "n_folds": 2}})
    auto = learn_outside(two(), chosen).models["auto"]
    assert isinstance(auto, AutoFusion)
    assert auto.config.candidates == ("rrf",)


@pytest.mark.parametrize("fusion", ["meta", "lambdamart", "fwls"])
def test_a_blend_that_needs_context_is_refused_without_any(fusion: str) -> None:
    with pytest.raises(
        DataError, match=f"{fusion} needs context, and nothing is known from before"
    ):
        learn_outside(two(), BlendConfig(fusion=fusion))


def test_a_base_must_not_be_called_as_a_fusion_model() -> None:
    with pytest.raises(ConfigError, match='base "rrf": a fusion model is called so; rename'):
        learn_outside(lists_of(rrf=noisy(1, 1)), STATIC)


# -- do no harm ------------------------------------------------------------------------


def test_a_blend_that_is_worse_than_the_best_base_does_not_serve() -> None:
    # CombSUM must listen to nine bases that know nothing; the tenth alone is better.
    noise = {f"noise{n}": noisy(10 + n, 50) for n in range(9)}
    lists = lists_of(good=noisy(1, 0.3), **noise)
    blend = learn_outside(lists, BlendConfig(fusion="combsum"))
    assert blend.calibrate_blend < blend.calibrate_base
    assert blend.serves == blend.best_base == "good"
    fused = fused_lists(lists, blend).filter(user_id="u000").sort("rank")
    assert fused["item_id"].to_list() == [ITEMS[i] for i in np.argsort(-noisy(1, 0.3)[0])]
    assert mean_weights(fused, lists.bases)["good"] == 1
    assert set(fused["weight_noise1"]) == {0}


def test_with_too_few_outcomes_the_best_base_serves() -> None:
    lists = lists_of(20, x=noisy(1, 9), y=noisy(2, 0.1))
    blend = learn_outside(lists, STATIC)
    assert (blend.serves, blend.models) == ("y", {})
    assert "too few requests with an outcome to learn from (5; 30 needed)" in blend.notes
    report = judge_outside(lists, blend, 10, QUICK)
    assert [model.name for model in report.models] == ["y", "x"]
    assert report.gains == ()


def test_one_person_can_be_blended_for_but_not_reported_on() -> None:
    lists = lists_of(1, x=noisy(1, 9), y=noisy(2, 0.1))
    report = judge_outside(lists, learn_outside(lists, STATIC), 10, QUICK)
    assert all(np.isnan(model.mean) and model.n == 0 for model in report.models)


def test_where_no_list_holds_anything_wanted_the_best_base_serves() -> None:
    log = pl.DataFrame({"user_id": USERS, "item_id": ["elsewhere"] * N_USERS})
    lists = make_lists(table(x=noisy(1, 1), y=noisy(2, 1)), Events("log", log=log))
    blend = learn_outside(lists, STATIC)
    assert blend.serves == "x"
    assert "nothing that anybody wanted is on a list, so there is nothing to learn" in blend.notes


def test_more_than_fits_is_sampled_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    blend = learn_outside(two(), BlendConfig(fusion="static", max_requests=50))
    assert "50 of 80 requests are looked at to train" in blend.notes
    monkeypatch.setattr(outside_fusing, "MAX_VALUES", 35 * N_ITEMS * 4)
    notes = learn_outside(two(), STATIC).notes
    assert "35 of 80 requests are looked at to train" in notes
    assert "35 of 40 requests are looked at to calibrate" in notes


# -- bases of all kinds ----------------------------------------------------------------

ODD: dict[str, Doubles] = {
    "constant": np.full((N_USERS, N_ITEMS), 7.0),
    "huge": 1e300 * noisy(1, 1.5),
    "tiny": 1e-300 * noisy(1, 1.5),
    "sparse": np.where(np.random.default_rng(5).random((N_USERS, N_ITEMS)) < 0.9, np.nan, truth()),
    "half": np.where(np.arange(N_USERS)[:, None] % 2 == 0, np.nan, noisy(3, 1.5)),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_base_beside_a_good_one_does_no_harm(kind: str) -> None:
    lists = lists_of(good=noisy(1, 1.5), **{kind: ODD[kind]})
    blend = learn_outside(lists, BlendConfig(), CONTEXT_FREE)
    assert set(blend.models) == {"auto", *CONTEXT_FREE}
    assert blend.calibrate_blend >= blend.calibrate_base or blend.serves == "good"
    fused = fused_lists(lists, blend)
    assert n_answered(fused) == N_USERS
    assert np.isfinite(fused["score"].to_numpy()).all()
    if kind == "huge":  # the same scores in another unit: all orders stay
        np.testing.assert_allclose(lists.zscore[:, 1], lists.zscore[:, 0], atol=1e-5)


def test_one_base_alone_is_served_as_it_is() -> None:
    lists = lists_of(only=noisy(1, 1))
    fused = fused_lists(lists, learn_outside(lists, BlendConfig(), CONTEXT_FREE))
    first = fused.filter(user_id="u007").sort("rank")["item_id"].to_list()
    assert first == [ITEMS[i] for i in np.argsort(-noisy(1, 1)[7])]


def test_fifty_bases_are_blended() -> None:
    lists = lists_of(**{f"b{n:02d}": noisy(100 + n, 4) for n in range(50)})
    blend = learn_outside(lists, STATIC, ["rrf", "combsum", "ridge"])
    report = judge_outside(lists, blend, 10, QUICK)
    # The mean of fifty independent errors is a seventh of each.
    assert report.of("combsum").mean > report.of(blend.best_base).mean + 0.1
    fused = fused_lists(lists, blend)
    weights = fused.select(pl.sum_horizontal(pl.col("^weight_.*$"))).to_series()
    np.testing.assert_allclose(weights.to_numpy(), 1, rtol=1e-5)


# -- what is written -------------------------------------------------------------------


def test_everybody_gets_a_list_in_order_also_those_without_an_outcome() -> None:
    lists = lists_of(120, x=noisy(1, 1.5), y=noisy(2, 1.7))
    fused = fused_lists(lists, learn_outside(lists, STATIC))
    assert fused.columns == ["user_id", "item_id", "score", "rank", "weight_x", "weight_y"]
    assert fused.height == N_USERS * N_ITEMS
    assert fused["user_id"].unique(maintain_order=True).to_list() == USERS
    for _, one in fused.group_by("user_id"):
        assert one["rank"].to_list() == list(range(1, N_ITEMS + 1))
        assert one["score"].is_sorted(descending=True)


def test_pieces_of_any_size_give_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fused_lists(two(), blended())
    monkeypatch.setattr(outside_fusing, "BATCH_VALUES", 7 * N_ITEMS * 4)
    assert fused_lists(two(), blended()).equals(whole)
    assert judge_outside(two(), blended(), 10, QUICK) == judge_outside(two(), blended(), 10, QUICK)


def test_whom_no_base_with_a_weight_scores_gets_the_mean_of_the_others() -> None:
    nothing = np.full(N_ITEMS, np.nan)
    good, bad = noisy(1, 0.1), noisy(2, 80)
    good[150] = good[151] = bad[151] = nothing
    lists = lists_of(120, good=good, bad=bad)
    blend = learn_outside(lists, STATIC)
    fused = fused_lists(lists, blend)
    assert mean_weights(fused.filter(user_id="u000"), lists.bases) == {"good": 1.0, "bad": 0.0}
    theirs = fused.filter(user_id="u150").sort("rank")
    assert theirs["item_id"].to_list() == [ITEMS[i] for i in np.argsort(-bad[150])]
    assert set(theirs["weight_bad"]) == {1.0}
    assert fused.filter(user_id="u151").is_empty()
    assert n_answered(fused) == N_USERS - 1


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "fused.parquet"
    write_lists(pl.DataFrame({"user_id": ["old"]}), out)

    def full(_: Any, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("crossfade.meta.outside_report.write_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        write_lists(pl.DataFrame({"user_id": ["new"]}), out)
    assert pl.read_parquet(out)["user_id"].to_list() == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["fused.parquet"]
