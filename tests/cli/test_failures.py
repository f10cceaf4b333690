"""Any failure becomes one message on standard error and an exit code."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.cli import app as module
from crossfade.cli.app import run
from crossfade.errors import BundleError
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice
from crossfade.testing import checkerboard

CHOICE = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)


def raising(error: BaseException) -> Callable[..., None]:
    def app(*_: object, **__: object) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SystemExit(0), 0, ""),
        (SystemExit(None), 0, ""),
        (SystemExit(2), 2, ""),
        (SystemExit("why"), 1, ""),
        (BundleError("out: damaged; fit again"), 1, "error: out: damaged; fit again\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/report.html"),
            1,
            "error: out/report.html: No space left on device; check the path, its permissions and free space\n",
        ),
        (
            OSError("the cable is out"),
            1,
            "error: the cable is out; check the path, its permissions and free space\n",
        ),
        (SystemExit(130), 1, "error: interrupted; nothing was published\n"),
        (KeyboardInterrupt(), 1, "error: interrupted; nothing was published\n"),
    ],
)
def test_what_goes_wrong_is_one_message_and_a_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "app", raising(error))
    assert run([]) == code
    assert capsys.readouterr() == ("", message)


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "app", raising(AssertionError("a bug")))
    with pytest.raises(AssertionError, match="a bug"):
        run([])


def test_fit_refuses_a_place_that_holds_something_else_before_it_reads_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    assert run(["fit", "no-such-data", "--bundle", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "thesis.doc" in message
    assert "choose another directory" in message


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    config = HybridConfig(bases={"popularity": {}})
    HybridModel.fit(checkerboard(), config, choice=CHOICE).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_ignored_items_are_told_beside_the_document(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "recommend",
        "--bundle",
        str(bundle),
        "--items",
        "item001, nothing",
        "-k",
        "2",
        "--json",
    ]
    assert run(asked) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["items"]) == 2
    assert err == "note: unknown items ignored: nothing\n"


def test_an_item_that_is_like_nothing_is_an_empty_list_and_a_note(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["similar", "--bundle", str(bundle), "--item", "item001", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["items"] == []
    assert err == "no base knows anything like item001\n"


def test_a_person_whom_nothing_can_serve_gets_an_empty_list_and_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = HybridConfig(bases={"item_knn": {}})
    choice = BlendChoice("zscore", {"item_knn": 1.0}, True, "item_knn", 0.0, 0.0)
    HybridModel.fit(checkerboard(), config, choice=choice).save(tmp_path)
    asked = ["recommend", "--bundle", str(tmp_path), "--user", "user001", "--json"]
    assert run([*asked, "--as-of", "1971-01-01"]) == 0  # before anybody did anything
    out, err = capsys.readouterr()
    assert json.loads(out)["items"] == []
    assert err == "no base can answer this; add popularity, which serves everybody\n"


def test_a_damaged_bundle_is_one_message(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = next(bundle.rglob("base-popularity.safetensors"))
    part.write_bytes(part.read_bytes()[:-1])
    assert run(["recommend", "--bundle", str(bundle), "--user", "user001"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "base-popularity.safetensors: damaged" in err
    assert len(err.splitlines()) == 1


def test_ctrl_c_in_a_command_is_a_failure_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfade.data.importing.summarise", stopped)
    assert run(["check", str(tmp_path)]) == 1
    assert capsys.readouterr() == ("", "error: interrupted; nothing was published\n")


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    as_json: list[str],
    world_directory: Path,
    quick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("crossfade.meta.experiment.run_experiment", raising(AssertionError()))
    (tmp_path / "out").write_text("mine")
    asked = ["evaluate", str(world_directory), "--config", str(quick)]
    assert run([*asked, "--out", str(tmp_path / "out"), *as_json]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {tmp_path / 'out'}: File exists")


@pytest.mark.parametrize("stem", ["ease", "blend", "theirs"])
def test_two_models_of_one_name_are_refused_before_the_work(
    stem: str, quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"{stem}.parquet"
    asked = ["evaluate", "no-such-data", "--config", str(quick), "--scores", str(file)]
    assert run([*asked, "--scores", str(file)]) == 1
    message = capsys.readouterr().err
    assert message == (f"error: scores {stem}: another model is called so already; rename them\n")


def test_no_base_may_be_called_as_a_fusion_model_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "s.toml"
    settings.write_text('[bases.meta]\nmodel = "popularity"\n')
    assert run(["evaluate", "no-such-data", "--config", str(settings)]) == 1
    assert "bases.meta" in capsys.readouterr().err


def test_doctor_says_that_a_file_is_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["doctor", str(tmp_path / "file")]) == 1
    assert "file is no directory; name one that is there" in capsys.readouterr().out
