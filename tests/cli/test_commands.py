"""The contract scripts rely on: commands, JSON documents, exit codes."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossfade import __version__
from crossfade.cli.app import run
from crossfade.data import Dataset, load_dataset, save_dataset
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice
from crossfade.testing import checkerboard

Captured = pytest.CaptureFixture[str]


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: Captured, *arguments: object) -> Any:
    code, out, err = ask(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)  # fails if anything else was printed on standard output


def test_recommend_prints_one_document_with_k_new_items(bundle: Path, capsys: Captured) -> None:
    data = HybridModel.load(bundle).dataset
    user = data.user_ids.id(0)
    answer = document(capsys, "recommend", "--bundle", bundle, "--user", user, "-k", 7)
    assert answer["user"] == user
    assert [item["rank"] for item in answer["items"]] == list(range(1, 8))
    known = set(data.queries([0]).item_row.tolist())
    assert known.isdisjoint(
        data.item_ids.rows([item["item_id"] for item in answer["items"]]).tolist()
    )
    assert all(abs(sum(item["weights"].values()) - 1) < 1e-5 for item in answer["items"])


def test_recommend_serves_a_stranger_by_items(bundle: Path, capsys: Captured) -> None:
    items = HybridModel.load(bundle).dataset.item_ids.decode([0, 1])
    answer = document(capsys, "recommend", "--bundle", bundle, "--items", ",".join(items))
    assert len(answer["items"]) == 10
    assert not set(items) & {item["item_id"] for item in answer["items"]}


def test_like_may_be_repeated_and_is_what_items_says_at_once(
    bundle: Path, capsys: Captured
) -> None:
    one, other = HybridModel.load(bundle).dataset.item_ids.decode([0, 1])
    asked = ("recommend", "--bundle", bundle)
    liked = document(capsys, *asked, "--like", one, "--like", other)
    assert liked == document(capsys, *asked, "--items", f"{one},{other}")
    assert liked["liked"] == [one, other]


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    bases: dict[str, dict[str, Any]] = {"popularity": {}, "genre_popularity": {}}
    choice = BlendChoice(
        "zscore", {"popularity": 1.0, "genre_popularity": 0.0}, True, "popularity", 0.0, 0.0
    )
    HybridModel.fit(checkerboard(), HybridConfig(bases=bases), choice=choice).save(tmp_path / "b")
    return tmp_path / "b"


def test_recommend_serves_a_stranger_by_genre(colours: Path, capsys: Captured) -> None:
    answer = document(capsys, "recommend", "--bundle", colours, "--genre", "odd", "-k", 5)
    assert answer["genres"] == ["odd"]
    assert all(int(item["item_id"][-1]) % 2 for item in answer["items"])


def test_an_unknown_genre_is_named_with_what_comes_close(colours: Path, capsys: Captured) -> None:
    asked = ("recommend", "--bundle", colours, "--genre", "ood")
    code, out, err = ask(capsys, *asked)
    assert (code, out) == (1, "")
    assert 'genre "ood" is unknown; did you mean odd?' in err
    code, out, err = ask(capsys, *asked, "--like", "item001")
    assert code == 0
    assert 'note: genre "ood" is unknown; did you mean odd?' in err
    assert len(out.splitlines()) == 10


def test_evaluating_data_without_times_falls_back_as_fitting_does(
    quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    save_dataset(checkerboard(40, timed=False), tmp_path / "data")
    asked = (tmp_path / "data", "--config", quick)
    code, fitted, err = ask(capsys, "fit", *asked, "--bundle", tmp_path / "bundle")
    assert code == 0, err
    code, judged, err = ask(capsys, "evaluate", *asked)
    assert code == 0, err
    flag = "flag: no times: protocol time is impossible, user instead"
    assert flag in fitted.splitlines()
    assert flag in judged.splitlines()


def test_the_moment_asked_about_is_in_its_own_zone(bundle: Path, capsys: Captured) -> None:
    data = HybridModel.load(bundle).dataset
    user, middle = data.user_ids.id(0), data.events.filter(user_row=0)["timestamp"].median()
    assert isinstance(middle, datetime)
    moment = middle.astimezone(UTC)

    def items(as_of: str) -> list[str]:
        asked = ("recommend", "--bundle", bundle, "--user", user, "-k", 300, "--as-of", as_of)
        return [item["item_id"] for item in document(capsys, *asked)["items"]]

    utc = items(f"{moment:%Y-%m-%dT%H:%M:%S}")
    assert items(f"{moment:%Y-%m-%dT%H:%M:%SZ}") == utc
    assert items(moment.astimezone(timezone(timedelta(hours=9))).isoformat()) == utc
    assert items("2100-01-01") != utc  # a later moment knows more of the history


@pytest.mark.parametrize("text", ["1997", "878342400", "yesterday", "0001-01-01T00:00+12:00"])
def test_a_moment_that_is_no_date_is_a_wrong_call(
    text: str, bundle: Path, capsys: Captured
) -> None:
    asked = ("recommend", "--bundle", bundle, "--user", "u", "--as-of", text)
    code, out, err = ask(capsys, *asked)
    assert (code, out) == (2, "")
    assert "is no time" in " ".join(err.split())


def test_a_stranger_has_no_history_to_cut(bundle: Path, capsys: Captured) -> None:
    asked = ("recommend", "--bundle", bundle, "--items", "i", "--as-of", "2024-01-01")
    code, _, err = ask(capsys, *asked)
    assert code == 2
    assert "--as-of" in err


def test_quotes_keep_a_comma_inside_an_item_id(tmp_path: Path, capsys: Captured) -> None:
    pairs = [(f"u{n}", f"{'a, b' if item == 0 else item}") for n in range(9) for item in range(6)]
    log = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    config = HybridConfig(bases={"popularity": {}})
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    HybridModel.fit(Dataset.build(log), config, choice=choice).save(tmp_path / "bundle")
    asked = ("recommend", "--bundle", tmp_path / "bundle", "--items")
    assert document(capsys, *asked, '"a, b", 1')["items"][0]["rank"] == 1
    _, _, err = ask(capsys, *asked, "a, b, 1")
    assert err == "note: unknown items ignored: a, b\n"


def test_similar_names_the_base_that_knows(bundle: Path, capsys: Captured) -> None:
    item = HybridModel.load(bundle).dataset.item_ids.id(0)
    answer = document(capsys, "similar", "--bundle", bundle, "--item", item, "-k", 3)
    assert answer["by"] in {"item_knn", "ease"}
    scores = [line["score"] for line in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert item not in {line["item_id"] for line in answer["items"]}


@pytest.mark.parametrize("protocol", ["time", "user", "leave-last", "repeat"])
def test_evaluate_keeps_its_json_contract(
    protocol: str, world_directory: Path, quick: Path, capsys: Captured
) -> None:
    answer = document(
        capsys, "evaluate", world_directory, "--config", quick, "--protocol", protocol
    )
    assert answer["protocol"] == protocol
    assert set(answer["blocks"]) == {"base", "fuse", "calibrate", "test"}
    assert {"popularity", "item_knn", "ease", "auto"} <= set(answer["models"])
    for metrics in answer["models"].values():
        for name in ("ndcg@10", "recall@20"):
            cell = metrics[name]
            assert 0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
            assert cell["n"] == answer["n_users"] > 0
    assert answer["slices"]
    assert answer["comparisons"]
    assert {"calibration", "conformal", "uncertainty", "weights", "confidences"} <= set(answer)
    if answer["calibrator"] is not None:
        assert answer["calibration"][0]["name"] == "all"
        assert answer["conformal"][0]["nominal"] == 0.9
    assert answer["n_items"] == load_dataset(world_directory).n_items
    per_user = {"user", "leave-last"}
    assert any("per-user" in flag for flag in answer["flags"]) == (protocol in per_user)


def test_equal_seeds_give_equal_documents(
    world_directory: Path, quick: Path, capsys: Captured
) -> None:
    asked = ("evaluate", world_directory, "--config", quick, "--seed", 5)
    assert document(capsys, *asked) == document(capsys, *asked)


def test_outside_scores_become_a_row(
    world_directory: Path, quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = load_dataset(world_directory)
    favourites = pl.DataFrame(
        {"item_id": data.item_ids.decode([0, 1, 2]), "score": [3.0, 2.0, 1.0]}
    )
    theirs = pl.DataFrame({"user_id": data.user_ids.ids}).join(favourites, how="cross")
    theirs.write_parquet(tmp_path / "theirs.parquet")
    answer = document(
        capsys,
        "evaluate",
        world_directory,
        "--config",
        quick,
        "--scores",
        tmp_path / "theirs.parquet",
    )
    assert answer["models"]["theirs"]["coverage@10"]["mean"] < 4 / data.n_items
    assert any("theirs" in flag for flag in answer["flags"])


def test_evaluate_writes_a_report_that_needs_nothing_else(
    world_directory: Path, quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    code, out, err = ask(
        capsys, "evaluate", world_directory, "--config", quick, "--out", tmp_path / "report"
    )
    assert code == 0, err
    assert "blend" in out
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert json.loads((tmp_path / "report" / "results.json").read_text())["protocol"] == "time"
    assert pl.read_parquet(tmp_path / "report" / "per_user.parquet").height > 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["recommend"], 2, "--bundle"),
        (["recommend", "--bundle", "B"], 2, "--user"),
        (["recommend", "--bundle", "B", "--like"], 2, "--like"),
        (["recommend", "--bundle", "B", "--user", "u", "-k", "0"], 2, "-k"),
        (["no-such-command"], 2, "no-such-command"),
        (["fit", "D", "--bundle", "B", "--seed", "-1"], 2, "--seed"),
        (["recommend", "--bundle", "nowhere", "--user", "u"], 1, "nowhere: no bundle here"),
        (["evaluate", "nowhere"], 1, "nowhere: no data set here"),
        (["check", "nowhere"], 1, "nowhere"),
        (["evaluate", "D", "--protocol", "random"], 2, "--protocol"),
    ],
)
def test_wrong_calls_exit_2_and_failures_exit_1_with_one_message(
    arguments: list[str], code: int, said: str, capsys: Captured
) -> None:
    found, out, err = ask(capsys, *arguments)
    assert found == code
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_fitting_data_without_times_says_how_they_were_cut(
    quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    pairs = pl.DataFrame({"user": range(40), "item": [range(10)] * 40}).explode("item")
    pairs = pairs.filter((pl.col("user") + pl.col("item")) % 3 > 0)
    log = pairs.select(user_id=pl.col("user").cast(str), item_id=pl.col("item").cast(str))
    save_dataset(Dataset.build(log), tmp_path / "data")
    code, out, err = ask(
        capsys, "fit", tmp_path / "data", "--bundle", tmp_path / "bundle", "--config", quick
    )
    assert code == 0, err
    assert "flag: per-user blocks" in out
    assert "flag: no times" in out
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["crossfade"] == __version__


def test_unknown_users_and_items_are_named(bundle: Path, capsys: Captured) -> None:
    for arguments, said in [
        (("recommend", "--bundle", bundle, "--user", "nobody"), 'user "nobody" is unknown'),
        (("recommend", "--bundle", bundle, "--items", "x,y"), "none of the 2 items is known"),
        (("similar", "--bundle", bundle, "--item", "x"), 'item "x" is unknown'),
    ]:
        code, out, err = ask(capsys, *arguments)
        assert code == 1
        assert said in err
        assert out == ""


def test_a_wrong_settings_file_names_every_fault(
    world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    settings = tmp_path / "wrong.toml"
    settings.write_text("speed = 1\n[blend]\ndepth = 0\n")
    code, _, err = ask(
        capsys, "fit", world_directory, "--bundle", tmp_path / "b", "--config", settings
    )
    assert code == 1
    assert "speed is not a setting" in err
    assert "blend.depth" in err
    assert not (tmp_path / "b").exists()


def test_doctor_passes_here(tmp_path: Path, capsys: Captured) -> None:
    answer = document(capsys, "doctor", tmp_path)
    states = {check["check"]: check["state"] for check in answer["checks"]}
    assert set(states) == {"crossfade", "packages", "extras", "free disk", "self-test"}
    assert "wrong" not in states.values()


@pytest.mark.slow
@pytest.mark.usefixtures("small_world")
def test_demo_prints_lists_and_the_path_of_a_report(tmp_path: Path, capsys: Captured) -> None:
    code, out, err = ask(capsys, "demo", "--out", tmp_path / "demo")
    assert code == 0, err
    assert out.count("  1. ") >= 3
    assert (tmp_path / "demo" / "report.html").exists()
    assert str(tmp_path / "demo" / "report.html") in out
