"""JSON, files and the report: the contract that scripts and readers rely on."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.evaluation.pages import Page

from crossfade.data import Queries
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.evaluation import (
    Evaluation,
    EvaluationConfig,
    Named,
    Scorer,
    evaluate,
    save,
    to_json,
)
from crossfade.evaluation.output import number_text
from crossfade.evaluation.plots import Series, forest
from crossfade.evaluation.report import to_html
from crossfade.recommenders.popularity import Popularity
from crossfade.testing import checkerboard
from crossfade.types import Floats

QUICK = EvaluationConfig(resamples=100, flips=100)


class Colour:
    """Knows the checkerboard: an item is good when the history holds its colour."""

    name = "colour"

    def score_batch(self, queries: Queries) -> Floats:
        odd = np.zeros(len(queries))
        np.add.at(odd, queries.owner, np.where(queries.item_row % 2, 1.0, -1.0))
        sign = np.where(np.arange(queries.n_items) % 2, 1.0, -1.0)
        return np.outer(odd, sign).astype(np.float32)


def run(protocol: ProtocolConfig, extra: Sequence[Named] = ()) -> tuple[Plan, Evaluation]:
    plan = make_plan(checkerboard(20), protocol)
    scorers: list[list[Scorer]] = [
        [Popularity().fit(test.train), Colour(), *extra] for test in plan.tests
    ]
    return plan, evaluate(plan.tests, scorers, QUICK, plan=plan, seed=7)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return run(ProtocolConfig(name="user"))[1]


def test_json_follows_the_contract(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(to_json(evaluation), allow_nan=False))
    assert {"protocol", "blocks", "n_users", "n_items", "models", "slices", "comparisons"} <= set(
        document
    )
    assert document["protocol"] == "user"
    assert document["dataset"] == "checkerboard"
    assert (document["seed"], document["n_items"]) == (7, 21)
    assert set(document["models"]) == {"colour", "popularity"}
    assert list(document["models"]["colour"]) == [*QUICK.metrics, "answered"]
    ndcg = document["models"]["colour"]["ndcg@10"]
    assert set(ndcg) == {"mean", "low", "high", "n"}
    assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"]
    assert ndcg["n"] == document["n_users"]
    assert sum(block["n_events"] for block in document["blocks"].values()) == 180
    assert document["blocks"]["base"]["start"] is None
    assert "per-user blocks" in document["flags"][0]


def test_what_cannot_be_measured_is_null(evaluation: Evaluation) -> None:
    coverage = to_json(evaluation)["models"]["colour"]["coverage@10"]
    assert coverage["low"] is None
    assert coverage["high"] is None
    assert coverage["mean"] > 0


def test_every_slice_cell_has_n_and_stands_against_the_best_other(evaluation: Evaluation) -> None:
    slices = to_json(evaluation)["slices"]
    assert set(slices) == {
        "history_length",
        "user",
        "item_popularity",
        "item_metadata",
        "item_age",
    }
    for family in slices.values():
        for models in family.values():
            assert set(models) == {"colour", "popularity"}
            for metrics in models.values():
                assert all({"mean", "low", "high", "n"} <= set(cell) for cell in metrics.values())
                assert sum("versus" in cell for cell in metrics.values()) == 1


def test_timed_blocks_say_when_they_start() -> None:
    plan, found = run(ProtocolConfig(name="time"))
    starts = [block["start"] for block in to_json(found)["blocks"].values()]
    assert starts == [None, *plan.cuts]


def test_save_writes_three_files_and_per_user_values_give_the_means(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    report = save(evaluation, tmp_path / "deep" / "out")
    names = {path.name for path in report.parent.iterdir()}
    assert names == {"results.json", "per_user.parquet", "report.html"}
    document = json.loads((report.parent / "results.json").read_text(encoding="utf-8"))
    users = pl.read_parquet(report.parent / "per_user.parquet")
    for model, metrics in document["models"].items():
        mine = users.filter(pl.col("model") == model)
        assert mine["ndcg@10"].mean() == pytest.approx(metrics["ndcg@10"]["mean"])
        assert mine["user_id"].n_unique() == document["n_users"]


def page_of(evaluation: Evaluation) -> Page:
    return Page(to_html(evaluation))


def test_the_report_is_whole_and_needs_nothing_from_outside(evaluation: Evaluation) -> None:
    html = to_html(evaluation)
    page = page_of(evaluation)
    assert page.open == []
    assert page.outside == []
    assert len(set(page.ids)) == len(page.ids)
    assert html.count("<svg") == 4


def test_the_report_says_what_was_asked_and_found(evaluation: Evaluation) -> None:
    text = page_of(evaluation).text
    for words in (
        "checkerboard",
        "per-user blocks",
        "Could it be luck?",
        "colour",
        "Where colour loses",
        "p (Holm)",
        number_text(evaluation.mean("colour", "ndcg@10")),
    ):
        assert words in text


def test_the_report_is_the_same_every_time(evaluation: Evaluation) -> None:
    assert to_html(evaluation) == to_html(evaluation)


def test_names_cannot_smuggle_markup_into_the_report() -> None:
    nasty = '<img src=x onerror="alert(1)">$x^2$'
    _, found = run(ProtocolConfig(name="user"), [Named(nasty, Colour())])
    found = replace(found, about=replace(found.about, dataset=nasty, flags=(nasty,)))
    page = page_of(found)
    assert page.outside == []
    assert page.open == []
    assert "<img" not in to_html(found)


@pytest.mark.parametrize("name", ["time", "user", "leave-last", "cold-users", "cold-items"])
def test_every_protocol_has_a_report(name: str) -> None:
    # In this log every item is old, so cold items are drawn.
    rules = {"name": name, "cold_share": 0.4, "cold_items": "share"}
    protocol = ProtocolConfig.model_validate(rules)
    _, found = run(protocol)
    assert page_of(found).open == []
    json.dumps(to_json(found), allow_nan=False)


def test_one_model_and_one_user_still_make_a_report() -> None:
    plan = make_plan(checkerboard(20), ProtocolConfig(name="user"))
    (test,) = plan.tests
    alone = replace(test, queries=test.queries.take([0]), relevant=test.relevant[[0]])
    found = evaluate([alone], [[Colour()]], QUICK)
    page = page_of(found)
    assert page.open == []
    assert "Could it be luck?" not in page.text
    assert to_json(found)["models"]["colour"]["ndcg@10"]["low"] is None
    assert to_json(found)["protocol"] is None


def test_a_difference_that_may_be_luck_gets_no_verdict() -> None:
    # Eight users; "most" beats "few" for five of them, so signs could easily fall that way.
    data = checkerboard(20)
    (test,) = make_plan(data, ProtocolConfig(name="user")).tests

    class Right:
        def __init__(self, name: str, n_right: int) -> None:
            self.name, self.n_right = name, n_right

        def score_batch(self, queries: Queries) -> Floats:
            known = queries.user_row < self.n_right
            return np.where(known[:, None], Colour().score_batch(queries), 0.0).astype(np.float32)

    few = replace(test, queries=test.queries.take(range(8)), relevant=test.relevant[range(8)])
    close = evaluate([few], [[Right("most", 6), Right("some", 5)]], QUICK)
    assert (close.comparisons["p_holm"] > 0.05).all()
    text = page_of(close).text
    assert "open" in text
    assert "better\n" not in text
    wide = evaluate([test], [[Right("most", 20), Right("none", 0)]], QUICK)
    assert (wide.comparisons["p_holm"] < 0.05).all()
    text = page_of(wide).text
    assert re.search(r"\bbetter\n", text)
    assert re.search(r"\bworse\n", text)


def test_dollars_in_names_are_no_formulas() -> None:
    assert r"$\no$" in forest([Series(r"$\no$", [0.5], [0.4], [0.6])], "ndcg@10")
