"""What objects look like in a notebook, and that nothing from outside gets out of its cell."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries, Target
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation import EvaluationConfig, evaluate
from crossfade.evaluation.findings import Findings
from crossfade.fusion.registry import make_fusion
from crossfade.hybrid import HybridConfig, HybridModel, Recommendation
from crossfade.meta.blending import BlendChoice
from crossfade.meta.experiment import Experiment
from crossfade.meta.recommendation import Recommendations
from crossfade.notebook import html_table
from crossfade.recommenders.popularity import Popularity
from crossfade.testing import checkerboard

EVIL = '"><script>alert("1")</script>\n<img src=x onerror=alert(2)>&amp;'
PLAIN = {"p", "table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """The tags of a page, its attributes, and the text of its paragraphs and cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)
        if tag in {"p", "th", "td"}:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def page(shown: Any) -> Page:
    """The HTML of an object, which must hold nothing but a plain table."""
    found = Page(shown._repr_html_())
    assert found.tags <= PLAIN
    assert found.attributes <= {("style", "text-align: left")}
    return found


@given(st.text(), st.text(), st.text())
def test_cells_hold_the_text_they_were_given(caption: str, name: str, cell: str) -> None:
    found = Page(html_table([name, EVIL], [[cell, EVIL]], caption))
    assert found.tags <= PLAIN
    given = [*([caption] if caption else []), name, EVIL, cell, EVIL]
    assert found.cells == given


def test_numbers_are_written_for_people_and_nothing_for_nothing() -> None:
    found = Page(html_table(["n", "score", "why"], [[1234567, 2.0, None]]))
    assert found.cells[3:] == ["1,234,567", "2.000", ""]


# -- lists -------------------------------------------------------------------------------

REASON = {
    "type": "genre",
    "evidence": {"items": ["x1", EVIL], "name": EVIL, "n_ratings": None},
    "contribution": 0.5,
    "share": 0.25,
    "bases": ["item_knn"],
}
LINES = Recommendations(
    [
        Recommendation(1, "a1", "Cher", "Cher", 0.5, {"ease": 1.0}, why="You might like this."),
        Recommendation(2, "a2", "Believe", "Cher", 0.25, {}, probability=0.125),
        Recommendation(3, "a3", None, None, 0.125, {}),
    ]
)


def test_a_name_is_said_once_and_an_unnamed_item_by_its_id() -> None:
    assert repr(LINES).splitlines() == [
        "  1. Cher              0.500  [a1]",
        "     You might like this.",
        "  2. Believe — Cher    0.250  [a2]",
        "  3. a3                0.125  [a3]",
    ]


def test_a_list_is_a_list_and_a_table() -> None:
    assert list(LINES) == LINES
    frame = LINES.to_frame()
    assert frame["item_id"].to_list() == ["a1", "a2", "a3"]
    assert frame["probability"].to_list() == [None, 0.125, None]
    assert Recommendations().to_frame().schema == frame.schema
    assert page(LINES).cells[:7] == [
        "rank", "item_id", "title", "creator", "score", "probability", "why",
    ]  # fmt: skip
    assert page(LINES).cells[7:14] == ["1", "a1", "Cher", "Cher", "0.500", "", "You might like this."]  # fmt: skip


def test_a_column_that_nobody_fills_is_not_shown() -> None:
    unnamed = Recommendations([replace(LINES[2], uncertainty=1.0)])
    assert page(unnamed).cells == ["rank", "item_id", "score", "3", "a3", "0.125"]


def test_an_empty_list_says_so() -> None:
    assert repr(Recommendations()) == "no recommendations"
    assert page(Recommendations()).cells == ["no recommendations"]


def test_a_hostile_list_stays_in_its_cells() -> None:
    line = Recommendation(1, EVIL, EVIL, EVIL, 0.5, {}, why=EVIL, reasons=(REASON,))
    assert page(Recommendations([line])).cells[-6:] == ["1", EVIL, EVIL, EVIL, "0.500", EVIL]
    alone = page(line).cells
    assert alone[-8:-4] == ["reason", "evidence", "share", "said by"]
    assert alone[-4:] == ["genre", f"{EVIL}: x1, {EVIL}", "25%", "item_knn"]
    # A line on its own is one line, without its long parts.
    assert "\n" not in repr(line)
    assert "reasons" not in repr(line)


# -- data --------------------------------------------------------------------------------


def test_a_data_set_says_how_much_it_holds(timed: Dataset, untimed: Dataset) -> None:
    assert repr(timed) == (
        "Dataset('tiny', 6 events, 3 users, 5 items, 2024-01-01 to 2024-01-02, target 'engages')"
    )
    assert repr(untimed) == (
        "Dataset('untimed', 6 events, 3 users, 4 items, without times, target 'engages')"
    )
    found = page(timed).cells
    assert found[0] == repr(timed)
    assert found[1:6] == ["table", "rows", "columns", "events", "6"]


def test_a_hostile_data_set_stays_in_its_cells() -> None:
    events = pl.DataFrame({"user_id": ["a"], "item_id": ["x"]})
    items = pl.DataFrame({"item_id": ["x"], EVIL: [1]})
    data = Dataset.build(events, items, name=EVIL, target=Target(name=EVIL))
    assert "\n" not in repr(data)
    found = page(data).cells
    assert found[0] == repr(data)
    assert f"item_id, {EVIL}" in found


def test_an_empty_cut_has_no_span(timed: Dataset) -> None:
    empty = timed.where(pl.Series([False] * 6))
    assert "0 events" in repr(empty)
    assert "without times" in repr(empty)


def test_requests_and_ids_are_counted(timed: Dataset) -> None:
    assert repr(timed.queries([0, 1])).startswith("Queries(2 requests, 2 of known users, ")
    stranger = Queries.of_items([1, 2], 5)
    assert repr(stranger) == "Queries(1 requests, 0 of known users, 2 events of history)"
    assert repr(timed.user_ids) == "Vocabulary(3 users, 'ann' to 'cid')"


def test_a_world_does_not_print_its_frames() -> None:
    world = make_world(WorldConfig(n_listeners=10, n_tracks=50, n_plays=100), seed=0)
    assert repr(world).startswith("World(config=WorldConfig(n_listeners=10, n_tracks=50, n_plays=")
    assert "shape" not in repr(world)


# -- settings ----------------------------------------------------------------------------


class Inner(Settings):
    """Settings within settings."""

    depth: int = Field(10, description="A number.")


class Outer(Settings):
    """Some settings."""

    name: str = Field("x", description="A text.")
    inner: Inner = Field(Inner(), description="More.")
    labels: list[str] = Field(default_factory=list, description="Texts.")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (Outer(), "Outer()"),
        (Outer(name="x", labels=[]), "Outer()"),
        (Outer(inner=Inner(depth=3)), "Outer(inner=Inner(depth=3))"),
        (Outer(name="y", labels=["z"]), "Outer(name='y', labels=['z'])"),
        (HybridConfig(), "HybridConfig()"),
    ],
)
def test_settings_show_what_differs_from_the_defaults(settings: Settings, text: str) -> None:
    assert repr(settings) == text
    if isinstance(settings, Outer):
        assert eval(text, {"Outer": Outer, "Inner": Inner}) == settings


# -- models ------------------------------------------------------------------------------

CHOICE = BlendChoice("zscore", {"popularity": 0.25, "ease": 0.75}, True, "ease", 0.0, 0.0)


def test_a_system_shows_its_bases_and_what_serves(tmp_path: Any) -> None:
    config = HybridConfig(bases={"popularity": {"half_life_days": 7}, "ease": {}})
    data = replace(checkerboard(20), name=EVIL)
    model = HybridModel.fit(data, config, choice=CHOICE)
    assert repr(model) == f"HybridModel({EVIL!r}, 2 bases, static serves, not saved)"
    model.save(tmp_path)
    assert repr(model).endswith(f"static serves, version {model.version})")
    assert page(model).cells == [
        repr(model),
        "base", "model", "static weight",
        "popularity", "Popularity(PopularityConfig(half_life_days=7.0))", "0.250",
        "ease", "EASE(EASEConfig())", "0.750",
    ]  # fmt: skip


def test_a_fusion_model_shows_its_settings() -> None:
    assert repr(make_fusion("ridge", {})) == "Ridge(RidgeConfig())"


def test_an_experiment_shows_its_table() -> None:
    plan = make_plan(checkerboard(20), ProtocolConfig(name="user"))
    scorers = [[Popularity().fit(test.train)] for test in plan.tests]
    found = evaluate(plan.tests, scorers, EvaluationConfig(resamples=100, flips=100), plan=plan)
    found = replace(found, about=replace(found.about, dataset=EVIL, target=EVIL, flags=(EVIL,)))
    learned: Any = None
    experiment = Experiment(learned, "static", found, {}, Findings())
    cells = page(experiment).cells
    assert cells[0] == f"{found.headline}; {EVIL}"
    assert found.headline.startswith(f"{EVIL}: protocol user, 20 users ask 20 times, 21 items")
    assert cells[1:5] == ["model", "n", "ndcg@10", "recall@20"]
    assert "popularity" in cells
    mean = found.mean("popularity", "ndcg@10")
    assert repr(experiment).endswith(f"; ndcg@10: popularity {mean:.4f}), static serves)")
