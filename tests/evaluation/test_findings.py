"""Sections on samples and cost, and the report that holds all of them."""

import json
from dataclasses import replace

import pytest
from tests.evaluation.pages import Page

from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.evaluation import Evaluation, EvaluationConfig, Findings, Scorer, evaluate, to_json
from crossfade.evaluation.candidates import CandidateRecall, CandidateSlice
from crossfade.evaluation.cost import Cost, Step, peak_bytes
from crossfade.evaluation.cost_section import cost_section
from crossfade.evaluation.landscape import Landscape, WeightBin
from crossfade.evaluation.report import template, to_html
from crossfade.evaluation.samples import Sample, SampleItem
from crossfade.evaluation.samples_section import samples_section
from crossfade.progress import Lap, Stopwatch, measured, task, timing
from crossfade.recommenders.popularity import Popularity
from crossfade.testing import checkerboard

NASTY = '<img src=x onerror="alert(1)">'
REASON = {
    "type": "genre",
    "evidence": {"items": ["t7", "t9"], "name": "jazz", "n_ratings": None},
    "contribution": 0.5,
    "share": 0.31,
    "bases": ["content_knn", "ease"],
}
SAMPLE = Sample(
    user_id="ann",
    as_of="2024-05-01 18:30",
    n_history=1,
    latest=("t7",),
    n_wanted=3,
    by_model=True,
    items=(
        SampleItem("t1", "So What", "Miles", 0.123, True, "Because you like jazz.", (REASON,)),
        SampleItem("t2", None, None, None, False, None),
    ),
    titles={"t7": "Blue Train"},
)
COST = Cost((Step("fit ease on N events", None, 2, 3.0, 1.0),), 5.0, 10, 4, 7, 3, 2_500_000_000)

CANDIDATES = CandidateRecall(
    "m",
    0.95,
    CandidateSlice("all", "all", 1_234, 20, 0.75, 0.5, 0.875),
    (
        CandidateSlice("user", "seen in training", 1_233, 19, 0.8, 0.6, 0.9),
        CandidateSlice("item_age", NASTY, 1, 1, 0.0, float("nan"), float("nan")),
    ),
)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    plan = make_plan(checkerboard(20), ProtocolConfig(name="user"))
    scorers: list[list[Scorer]] = [[Popularity().fit(test.train)] for test in plan.tests]
    return evaluate(plan.tests, scorers, EvaluationConfig(resamples=100, flips=100), plan=plan)


def shown(*samples: Sample) -> Page:
    return Page(template("samples.html.j2").render(samples=samples_section(samples)))


# -- samples ---------------------------------------------------------------------------


def test_a_sample_shows_ids_titles_sentence_and_reasons() -> None:
    page = shown(SAMPLE)
    for said in (
        "ann",
        "2024-05-01 18:30, after 1 event, lately Blue Train [t7].",
        "Answered by the learned model; 1 of 3 wanted items are in this list.",
        "So What — Miles",
        "12.3%",
        "Because you like jazz.",
        "genre jazz 31% (content_knn, ease): Blue Train [t7], t9",
    ):
        assert said in page.text
    assert page.open == []


def test_what_is_not_known_is_said_and_not_invented() -> None:
    stranger = replace(SAMPLE, user_id=None, as_of=None, by_model=False, items=SAMPLE.items[1:])
    text = shown(stranger).text
    assert "a stranger" in text
    assert "the static weights" in text
    assert "Nothing is known that would be a reason." in text
    assert "None" not in text
    assert "Nobody could answer this request." in shown(replace(SAMPLE, items=())).text


# -- cost ------------------------------------------------------------------------------


def watch(*laps: tuple[float, str]) -> Stopwatch:
    """A stopwatch that measured some laps; ``a/b`` is b inside a."""
    made = Stopwatch()
    made._laps = [Lap(tuple(path.split("/")), seconds) for seconds, path in laps]
    return made


def test_work_of_one_name_is_summed_whatever_numbers_it_names() -> None:
    steps = Cost.of(
        watch(
            (2.0, "fit ease on 1,200 events"),
            (0.5, "fit nmf on 1,200 events"),
            (4.0, "fit ease on 3,400 events"),
        ),
        n_events=1,
        n_users=1,
        n_items=1,
        n_requests=1,
    ).steps
    assert steps == (
        Step("fit ease on N events", None, 2, 6.0, 4.0),
        Step("fit nmf on N events", None, 1, 0.5, 0.5),
    )


def test_work_inside_other_work_stands_below_it_and_no_deeper() -> None:
    found = watch((3.0, "learn"), (2.0, "learn/fit"), (1.0, "learn/fit/rounds"), (1.0, "judge"))
    cost = Cost.of(found, n_events=1, n_users=1, n_items=1, n_requests=1)
    assert [(step.name, step.inside) for step in cost.steps] == [
        ("learn", None),
        ("fit", "learn"),
        ("judge", None),
    ]


def test_names_of_models_keep_their_numbers() -> None:
    with timing() as found, task("fit bm25 on 2,000 events"), measured("score with als.2"):
        pass
    cost = Cost.of(found, n_events=1, n_users=1, n_items=1, n_requests=1)
    assert [step.name for step in cost.steps] == ["fit bm25 on N events", "score with als.2"]


def test_the_section_adds_up_to_the_whole_run() -> None:
    section = cost_section(COST)
    assert ("peak memory", "2.50 GB") in section["facts"]
    assert section["rest"] == "2.0"  # of 5 s, 3 were measured
    (step,) = section["steps"]
    assert (step["times"], step["seconds"], step["last"]) == ("2", "3.0", "1.0")


def test_memory_that_the_system_does_not_tell_is_no_number() -> None:
    facts = dict(cost_section(replace(COST, peak_bytes=None))["facts"])
    assert facts["peak memory"] == "not told by the system"
    peak = peak_bytes()
    assert peak is None or 1e7 < peak < 1e12


# -- the report ------------------------------------------------------------------------


def test_what_was_not_found_has_no_section(evaluation: Evaluation) -> None:
    text = Page(to_html(evaluation)).text
    for heading in ("Who is trusted when", "Lists and their reasons", "What it cost"):
        assert heading not in text


def test_without_a_learned_model_the_report_names_the_weights_that_serve(
    evaluation: Evaluation,
) -> None:
    text = Page(to_html(evaluation, Findings(static={"nmf": 0.0, "knn": 0.3, "ease": 0.7}))).text
    assert "the same weights for everybody: ease 0.70, knn 0.30." in text


def test_a_report_with_everything_is_whole_and_needs_nothing_from_outside(
    evaluation: Evaluation,
) -> None:
    bins = (WeightBin("none", 3, 3, {"ease": 1.0}), WeightBin("1", 3, 3, {"ease": 1.0}))
    item = replace(SAMPLE.items[0], title=NASTY, sentence=NASTY, item_id=NASTY)
    sample = replace(SAMPLE, user_id=NASTY, latest=(NASTY,), titles={}, items=(item,))
    cost = replace(COST, steps=(Step(NASTY, None, 1, 1.0, 1.0),))
    landscape = Landscape("m", ("ease",), 6, 0, bins, bins)
    findings = Findings(None, landscape, CANDIDATES, {}, (sample,), cost)
    html = to_html(evaluation, findings)
    page = Page(html)
    assert page.open == []
    assert page.outside == []
    assert "<img" not in html
    assert len(set(page.ids)) == len(page.ids)
    headings = [
        "Slices",
        "Candidates",
        "Who is trusted when",
        "Lists and their reasons",
        "What it cost",
    ]
    places = [page.text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_candidates_are_shown_most_lost_first_and_nested_in_the_json(
    evaluation: Evaluation,
) -> None:
    findings = Findings(candidates=CANDIDATES)
    text = Page(to_html(evaluation, findings)).text
    rows = [
        "everything1,2342075.0% [50.0%, 87.5%]",
        f"item age: {NASTY}110.0% ",
        "user: seen in training1,2331980.0% [60.0%, 90.0%]",
    ]
    places = [text.index(row) for row in rows]
    assert places == sorted(places)
    found = json.loads(json.dumps(to_json(evaluation, findings), allow_nan=False))["candidates"]
    whole = {"recall": 0.75, "low": 0.5, "high": 0.875, "n": 1_234, "n_users": 20}
    assert {key: found[key] for key in ("model", *whole)} == {"model": "m", **whole}
    lost = found["slices"]["item_age"][NASTY]
    assert lost == {"recall": 0.0, "low": None, "high": None, "n": 1, "n_users": 1}
    assert list(found["slices"]["user"]) == ["seen in training"]
    (line,) = CANDIDATES.lines()
    assert "recall 75.0% [50.0%, 87.5%] of 1,234 wanted items, lowest at item age" in line
    assert line.endswith("0.0% of 1")


def test_without_a_learned_blend_there_are_no_candidates(evaluation: Evaluation) -> None:
    assert "recall of the candidates" not in to_html(evaluation)
    assert to_json(evaluation)["candidates"] is None


def test_what_differs_from_run_to_run_is_in_no_json(evaluation: Evaluation) -> None:
    assert to_json(evaluation, Findings(cost=COST)) == to_json(evaluation)
