"""`crossfade batch`, and the page that tells of it."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from crossfade.batch import CHUNK, recommend_all
from crossfade.cli import batching
from crossfade.cli.app import run
from crossfade.hybrid import HybridModel

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "all-users.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

Captured = pytest.CaptureFixture[str]


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_line_says_what_was_made_and_the_second_time_that_nothing_was(
    bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    asked = ("batch", "--bundle", bundle, "--to", tmp_path / "lists", "-k", 20, "--chunk", 30)
    version = HybridModel.load(bundle).version
    code, out, err = ask(capsys, *asked)
    assert (code, err) == (0, "")
    where = re.escape(f"{tmp_path / 'lists'} (version {version})")
    assert re.fullmatch(rf"lists of 80 users made: [\d.]+ s, [\d,]+ users/s, {where}\n", out)
    (tmp_path / "lists" / "part-00002.parquet").unlink()
    code, out, _ = ask(capsys, *asked)
    assert code == 0
    assert out.startswith("lists of 20 users made, 60 were there: ")
    code, out, _ = ask(capsys, *asked)
    assert code == 0
    assert re.fullmatch(
        rf"complete already: lists of 80 users in {where}; --fresh starts over\n", out
    )
    code, out, _ = ask(capsys, *asked, "--fresh")
    assert out.startswith("lists of 80 users made: ")
    recommend_all(HybridModel.load(bundle), tmp_path / "same", k=20, chunk=30)
    found, same = (
        pl.read_parquet(tmp_path / name / "part-*.parquet") for name in ("lists", "same")
    )
    assert found.equals(same)


def test_users_of_a_file_in_their_order(bundle: Path, tmp_path: Path, capsys: Captured) -> None:
    users = HybridModel.load(bundle).dataset.user_ids.ids.to_list()[5:2:-1]
    (tmp_path / "users.txt").write_text("\n".join(users))
    asked = ("batch", "--bundle", bundle, "--to", tmp_path / "lists", "-k", 2)
    code, _, err = ask(capsys, *asked, "--users", tmp_path / "users.txt")
    assert code == 0, err
    found = pl.read_parquet(tmp_path / "lists" / "part-*.parquet")
    assert found["user_id"].unique(maintain_order=True).to_list() == users


@pytest.mark.parametrize(
    ("users", "more", "code", "message"),
    [
        ("nobody\n", (), 1, "error: 1 of 1 users are unknown among 80, the first is"),
        ("", (), 1, "holds no user ids; write one a line"),
        (None, (), 1, "users.txt: No such file or directory; check the path"),
        ("a\n", ("-k", 0), 2, "greater than or equal to 1"),
        ("a\n", ("--chunk", 0), 2, "greater than or equal to 1"),
        ("a\n", ("--registry", "r"), 2, "give either --bundle or --registry"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_written(
    bundle: Path,
    tmp_path: Path,
    capsys: Captured,
    users: str | None,
    more: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    if users is not None:
        (tmp_path / "users.txt").write_text(users)
    asked = ("batch", "--bundle", bundle, "--to", tmp_path / "lists", *more)
    found, out, err = ask(capsys, *asked, "--users", tmp_path / "users.txt")
    assert (found, out) == (code, "")
    assert message in " ".join(err.split())
    assert not (tmp_path / "lists").exists()


def test_lists_of_another_call_are_one_clear_error(
    bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    asked = ("batch", "--bundle", bundle, "--to", tmp_path / "lists", "-k")
    assert ask(capsys, *asked, 2)[0] == 0
    code, out, err = ask(capsys, *asked, 3)
    assert (code, out) == (1, "")
    assert "its lists were made otherwise: k was 2 and is 3; " in err
    assert len(err.splitlines()) == 1


def test_an_interruption_says_how_to_go_on(
    bundle: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HybridModel, "recommend_batch", interrupted)
    code, out, err = ask(capsys, "batch", "--bundle", bundle, "--to", tmp_path / "lists")
    assert (code, out) == (1, "")
    assert "finished parts stay in" in err
    assert err.rstrip().endswith("the same command goes on from there")


def test_the_default_of_the_command_is_that_of_the_library(bundle: Path) -> None:
    assert batching.batch.__defaults__ is not None
    assert CHUNK in batching.batch.__defaults__


def test_the_page_runs(
    world_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(world_directory)
    told = []
    for kind, block in BLOCKS:
        if kind == "sh":
            for line in block.splitlines():
                code, out, err = ask(capsys, *shlex.split(line)[1:])
                assert code == 0, err
                told.append(out)
        elif kind == "toml":
            (tmp_path / "settings.toml").write_text(block)
        elif kind == "txt":
            (tmp_path / "some.txt").write_text(block)
        elif kind == "python":
            exec(compile(block, str(PAGE), "exec"), {"__name__": "snippet"})
    assert [line.startswith("complete already") for line in told[1:3]] == [False, True]
    assert capsys.readouterr().out.splitlines()[-1] == "True"
