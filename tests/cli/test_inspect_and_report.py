"""`crossfade inspect` and `crossfade report`, as people call them."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from tests.evaluation.pages import Page

from crossfade.cli.app import run
from crossfade.cli.inspecting import WIDTH, journey_lines, split_width
from crossfade.evaluation.journey import Journey, Moment
from crossfade.hybrid import HybridModel

Captured = pytest.CaptureFixture[str]


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def user(bundle: Path) -> str:
    return HybridModel.load(bundle).dataset.user_ids.id(0)


# -- the table -------------------------------------------------------------------------


def moment(n: int, ease: float, by: str = "model") -> Moment:
    weights = {"ease": ease, "nmf": 1 - ease}
    return Moment(n, "2024-05-01T18:30:00+00:00", by, weights, 10, "t1", 0.123, 0.5)


JOURNEY = Journey("ann", "meta", ("nmf", "ease"), 10, (moment(0, 0.25, "static"), moment(12, 0.75)))


def test_a_bar_has_letters_in_proportion() -> None:
    lines = [line.plain for line in journey_lines(JOURNEY)]
    # Both weigh the same in all; ties go by order, so A is nmf.
    assert lines[:4] == [
        "ann: weights of meta, mean of the first 10 items",
        f"events             as of  {'weights':<{WIDTH}}  probability  uncertainty",
        f"     0  2024-05-01 18:30  {'A' * 21 + 'B' * 7}        12.3%        0.500  static",
        f"    12  2024-05-01 18:30  {'A' * 7 + 'B' * 21}        12.3%        0.500",
    ]
    assert "  A nmf   0.75 → 0.25" in lines
    assert "  B ease  0.25 → 0.75" in lines
    assert any(line.startswith("after 0 events: the static blend answers") for line in lines)


def test_a_terminal_gets_the_same_letters_in_colour() -> None:
    console = Console(force_terminal=True, color_system="truecolor", width=80)
    with console.capture() as kept:
        for line in journey_lines(JOURNEY):
            console.print(line, soft_wrap=True)
    colour = re.compile(r"\x1b\[[\d;]*m")
    plain = "".join(f"{line.plain}\n" for line in journey_lines(JOURNEY))
    assert colour.sub("", kept.get()) == plain
    assert len(colour.findall(kept.get())) > 4


@pytest.mark.parametrize(
    ("shares", "width", "expected"),
    [
        ([0.5, 0.5], 3, [2, 1]),
        ([0.7, 0.2, 0.1], 10, [7, 2, 1]),
        ([1 / 3, 1 / 3, 1 / 3], 10, [4, 3, 3]),
        ([0.5, 0.26, 0.24], 10, [5, 3, 2]),
        ([1.0, 0.0], 5, [5, 0]),
        ([0.96, 0.02, 0.02], 10, [10, 0, 0]),
    ],
)
def test_whole_letters_fill_the_width(shares: list[float], width: int, expected: list[int]) -> None:
    assert split_width(shares, width) == expected


# -- inspect ---------------------------------------------------------------------------


def test_inspect_prints_a_table_that_fits_eighty_columns(
    bundle: Path, user: str, capsys: Captured
) -> None:
    code, out, err = ask(capsys, "inspect", user, "--bundle", bundle)
    assert code == 0, err
    assert out.startswith(f"{user}: weights of ")
    assert "\x1b" not in out
    table = [line for line in out.splitlines() if re.match(r" *\d+ +20\d\d-", line)]
    assert len(table) > 3
    assert max(len(line.removesuffix("  static")) for line in table) <= 80


def test_inspect_as_json_is_one_document(bundle: Path, user: str, capsys: Captured) -> None:
    code, out, err = ask(capsys, "inspect", user, "--bundle", bundle, "--points", 4, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["user"], answer["k"]) == (user, 10)
    assert len(answer["moments"]) == 4
    assert answer["moments"][0]["n_events"] == 0
    assert answer["version"]


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_inspect_draws_what_the_name_says(
    kind: str, bundle: Path, user: str, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "pictures" / f"user.{kind}"
    code, out, err = ask(capsys, "inspect", user, "--bundle", bundle, "--points", 3, "--out", file)
    assert code == 0, err
    assert out.splitlines()[-1] == f"picture: {file}"
    start = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[kind]
    assert file.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["inspect"], 2, "argument 'user'"),
        (["inspect", "u"], 2, "--bundle or --registry"),
        (["inspect", "u", "--bundle", "B", "--points", "1"], 2, "--points"),
        (["inspect", "u", "--bundle", "B", "--out", "u.gif"], 1, "u.gif: a picture ends in .png"),
        (["inspect", "u", "--bundle", "nowhere"], 1, "nowhere: no bundle here"),
        (["report", "nowhere", "--out", "."], 2, "is a directory"),
        (["report", "nowhere"], 1, "nowhere: no data set here"),
        (["report", "D", "--protocol", "random"], 2, "--protocol"),
    ],
)
def test_wrong_calls_say_what_is_wrong(
    arguments: list[str], code: int, said: str, capsys: Captured
) -> None:
    found, out, err = ask(capsys, *arguments)
    assert (found, out) == (code, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_an_unknown_user_is_named(bundle: Path, capsys: Captured) -> None:
    code, out, err = ask(capsys, "inspect", "nobody", "--bundle", bundle)
    assert (code, out) == (1, "")
    assert 'user "nobody" is unknown' in err


# -- report ----------------------------------------------------------------------------


def test_report_writes_one_page_with_every_section(
    world_directory: Path, quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    file, settings = tmp_path / "deep" / "page.html", tmp_path / "few.toml"
    settings.write_text(quick.read_text() + "[blend]\nmin_requests = 5\n")
    asked = ("report", world_directory, "--config", settings, "--no-compare", "--fusion", "static")
    code, out, err = ask(capsys, *asked, "--out", file)
    assert code == 0, err
    assert out == f"report: {file}\n"
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]
    page = Page(file.read_text())
    assert page.open == []
    assert page.outside == []
    headings = (
        "Accuracy", "loses", "Slices", "Who is trusted when", "keep its word", "Lists and their reasons",
        "What it cost",
    )  # fmt: skip
    places = [page.text.index(heading) for heading in headings]
    assert places == sorted(places)
