"""`crossfade recommend` says why, and keeps what is asked of a list."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.app import run
from crossfade.hybrid import HybridModel

Captured = pytest.CaptureFixture[str]
USER = ("--user", "listener-02")


def ask(capsys: Captured, bundle: Path, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["recommend", "--bundle", str(bundle), *map(str, arguments)])
    return code, *capsys.readouterr()


def items(capsys: Captured, bundle: Path, *arguments: object) -> list[dict[str, Any]]:
    code, out, err = ask(capsys, bundle, *USER, *arguments, "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)["items"]
    return found


def test_each_item_has_its_sentence_under_it(bundle: Path, capsys: Captured) -> None:
    told = HybridModel.load(bundle).recommend(user=USER[1], k=5, explain=True)
    code, out, _ = ask(capsys, bundle, *USER, "-k", 5, "--why")
    assert code == 0
    expected = []
    for line in told:
        expected += [f"[{line.item_id}]", *([] if line.why is None else [line.why])]
    assert any(line.why for line in told)
    for text, end in zip(out.splitlines(), expected, strict=True):
        assert text.endswith(end)
        assert text == f"     {end}" or end.startswith("[")


def test_reasons_are_in_the_document_for_who_asks(bundle: Path, capsys: Captured) -> None:
    told = items(capsys, bundle, "--why")
    assert any(item["reasons"] and item["why"] for item in told)
    for item in told:
        for reason in item["reasons"]:
            assert set(reason) == {"type", "evidence", "contribution", "share", "bases"}
    bare = items(capsys, bundle)
    assert [(item["why"], item["reasons"]) for item in bare] == [(None, [])] * 10
    assert [item["item_id"] for item in bare] == [item["item_id"] for item in told]


def test_rules_and_blocks_hold(bundle: Path, capsys: Captured) -> None:
    whole = [item["item_id"] for item in items(capsys, bundle, "-k", 12)]
    block = ("--block", whole[0], "--block", whole[3])
    left = [item["item_id"] for item in items(capsys, bundle, "-k", 30, *block)]
    assert not {whole[0], whole[3]} & set(left)
    rules = ("--rule", "duration_ms > 200000", "--rule", "duration_ms < 260000")
    code, out, _ = ask(capsys, bundle, *USER, *rules, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["rules"] == list(rules[1::2])
    data = HybridModel.load(bundle).dataset
    rows = data.item_ids.rows([item["item_id"] for item in answer["items"]])
    assert data.items["duration_ms"].gather(rows).is_between(200_001, 259_999).all()
    assert len(rows) == 10


def test_limits_replace_those_of_the_settings(bundle: Path, capsys: Captured) -> None:
    one = [item["creator"] for item in items(capsys, bundle, "--max-per-creator", 1)]
    assert len(set(one)) == len(one) == 10
    alike, other = (
        [item["item_id"] for item in items(capsys, bundle, "--diversity", share)]
        for share in (0, 0.9)
    )
    assert alike == [item["item_id"] for item in items(capsys, bundle)]
    assert other != alike


def test_what_is_blocked_but_unknown_is_said(bundle: Path, capsys: Captured) -> None:
    code, _, err = ask(capsys, bundle, *USER, "--block", "silence")
    assert code == 0
    assert err == "note: --block: none of the 1 items is known (silence); check the ids\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--rule", "relase_date > 3"), 1, 'items have no column "relase_date"'),
        (("--rule", "duration_ms >"), 1, "duration_ms >"),
        (("--rule", "duration_ms < 1", "--rule", "duration_ms > 5"), 1, "none of the 300 items"),
        (("--diversity", "2"), 2, "--diversity"),
        (("--max-per-creator", "-1"), 2, "--max-per-creator"),
    ],
)
def test_a_wrong_wish_is_one_clear_line(
    arguments: tuple[str, ...], code: int, says: str, bundle: Path, capsys: Captured
) -> None:
    found, out, err = ask(capsys, bundle, *USER, *arguments)
    assert (found, out) == (code, "")
    assert says in err
    if code == 1:
        assert err.startswith("error: ")
        assert err.count("error") == 1


def test_an_empty_list_says_what_emptied_it(bundle: Path, capsys: Captured) -> None:
    model = HybridModel.load(bundle)
    row = int(model.query(USER[1]).item_row[0])
    title, length = model.dataset.items.select("title", "duration_ms").row(row)
    rule = f'title == "{title}" and duration_ms == {length}'  # the person knows it
    code, out, err = ask(capsys, bundle, *USER, "--rule", rule)
    assert (code, out) == (0, "")
    assert err == "nothing that can be scored is left by --rule and --block; ask for less\n"


@pytest.mark.slow
def test_wording_is_the_same_in_every_process(bundle: Path, capsys: Captured) -> None:
    # Sets of texts have another order under another hash seed.
    program = "import sys; from crossfade.cli.app import run; sys.exit(run(sys.argv[1:]))"
    asked = (*USER, "-k", "30", "--why", "--json")
    seed = "0" if os.environ.get("PYTHONHASHSEED") == "7" else "7"
    elsewhere = subprocess.run(
        [sys.executable, "-c", program, "recommend", "--bundle", str(bundle), *asked],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    _, here, _ = ask(capsys, bundle, *asked)
    assert here == elsewhere.stdout
    assert sum(bool(item["why"]) for item in json.loads(here)["items"]) > 5
