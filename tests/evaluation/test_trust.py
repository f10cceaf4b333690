"""What a blend says of itself, as JSON, text and a section of the report."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.evaluation import (
    Evaluation,
    EvaluationConfig,
    Findings,
    Scorer,
    evaluate,
    save,
    to_json,
)
from crossfade.evaluation.calibration_plots import ReliabilitySeries, RiskSeries
from crossfade.evaluation.report import to_html
from crossfade.evaluation.trust import (
    NOTHING,
    ConfidenceRow,
    CoverageRow,
    ProbabilityRow,
    SortingRow,
    Trust,
    WeightRow,
)
from crossfade.recommenders.popularity import Popularity
from crossfade.testing import checkerboard

ERROR = {"plain": 0.02, "debiased": 0.0123, "low": -0.01, "high": 0.03}


@pytest.fixture(scope="module")
def trust() -> Trust:
    bins = [np.array(values) for values in ((0.1, 0.3), (0.1, 0.25), (0.05, 0.2), (0.2, 0.4))]
    return Trust(
        model="auto",
        calibrator="beta, apart by history",
        rows=(
            ProbabilityRow("user", "all", 90, 1_234, 0.05, ERROR, 0.04, 0.17),
            ProbabilityRow("item age", "younger than 30 days", 1, 3, 0.0, None, 0.01, np.inf),
        ),
        reliability=ReliabilitySeries("auto", *bins),
        risks=(RiskSeries("by probability", np.array([0.5, 1.0]), np.array([0.6, 0.8]), 0.7),),
        coverage=(
            CoverageRow("each history", "all", 0.9, 0.912, 0.88, 0.94, 0.9, 456, 90, 12.3, 20.4),
            CoverageRow("each history", "cold", 0.9, 1.0, np.nan, np.nan, 1.0, 2, 1, 5.0, 5.0),
        ),
        sorting=(SortingRow("one minus", "what is missed", 0.5, 0.31, 0.2, 0.4, 900),),
        weights=(
            WeightRow("all", 1_234, {"ease": 0.7, "nmf": 0.3}, {"ease": 0.1, "nmf": 0.1}, 1.8),
        ),
        confidences=(ConfidenceRow("ease", 1_000, 0.06, 0.05, ERROR, 0.04, 0.18),),
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    plan = make_plan(checkerboard(20), ProtocolConfig(name="user"))
    scorers: list[list[Scorer]] = [[Popularity().fit(test.train)] for test in plan.tests]
    return evaluate(plan.tests, scorers, EvaluationConfig(resamples=100, flips=100), plan=plan)


def test_json_holds_every_number_and_null_for_what_is_unknown(
    trust: Trust, evaluation: Evaluation
) -> None:
    answer = json.loads(json.dumps(to_json(evaluation, Findings(trust)), allow_nan=False))
    first, second = answer["calibration"]
    assert first["calibration_error"]["debiased"] == 0.0123
    assert (first["name"], first["n"]) == ("all", 1_234)
    assert (second["calibration_error"], second["log_loss"]) == (None, None)
    assert answer["conformal"][0]["share"] == 0.912
    assert answer["conformal"][1]["low"] is None
    assert answer["reliability"]["probability"] == [0.1, 0.3]
    assert answer["uncertainty"][0]["spearman"] == 0.31
    assert answer["risk_area"] == {"by probability": 0.7}
    assert answer["weights"][0]["mean"] == {"ease": 0.7, "nmf": 0.3}
    assert answer["confidences"][0]["base"] == "ease"


def test_without_a_model_that_speaks_the_same_keys_are_empty(
    trust: Trust, evaluation: Evaluation
) -> None:
    assert set(NOTHING) == set(trust.to_json())
    assert to_json(evaluation)["calibration"] == []


def test_text_says_what_was_promised_and_what_came(trust: Trust) -> None:
    text = "\n".join(trust.lines())
    for said in (
        "calibrator: beta, apart by history",
        "probabilities, all users (1,234 candidates of 90 requests, 5.00% wanted): calibration error "
        "0.0123 [-0.0100, 0.0300]",
        "items younger than 30 days (3 candidates of 1 requests, 0.00% wanted): calibration error unknown",
        "promise to each history, all users: 91.2% [88.0%, 94.0%] of 456 wanted candidates inside, 90% promised",
        "cold users: 100.0% of 2 wanted",
        "rank correlation +0.310 [+0.200, +0.400], surest fifth to least sure 0.50",
        "weights, all users: ease 0.70, nmf 0.30; 1.8 bases speak in a score",
        "confidence in ease: 6.00% stated, 5.00% wanted, calibration error 0.0123",
    ):
        assert said in text
    assert "nan" not in text


def test_the_report_shows_both_pictures_and_every_table(
    trust: Trust, evaluation: Evaluation
) -> None:
    page = to_html(evaluation, Findings(trust))
    assert page.count("<svg") == to_html(evaluation).count("<svg") + 2
    for said in ("Reliability", "Risk against coverage", "0.0123", "91.2%", "± 0.10", "6.00%"):
        assert said in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_without_it_the_report_has_no_such_section(trust: Trust, evaluation: Evaluation) -> None:
    assert "keep its word" in to_html(evaluation, Findings(trust))
    assert "keep its word" not in to_html(evaluation)


def test_a_model_that_weighs_no_bases_has_no_table_of_weights(
    trust: Trust, evaluation: Evaluation
) -> None:
    few = replace(trust, weights=(), confidences=(), sorting=(), coverage=())
    page = to_html(evaluation, Findings(few))
    for title in (
        "Weights of the bases",
        "Confidence in each base",
        "Conformal sets",
        "Uncertainty</h3>",
    ):
        assert title not in page
        assert title in to_html(evaluation, Findings(trust))


def test_saved_results_hold_what_the_report_says(
    trust: Trust, evaluation: Evaluation, tmp_path: Path
) -> None:
    report = save(evaluation, tmp_path, Findings(trust))
    assert "keep its word" in report.read_text(encoding="utf-8")
    answer = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert answer["calibrator"] == "beta, apart by history"
