"""Bad input through the command line: one clear message, a non-zero exit, nothing half written."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.data import load_dataset

GOOD = (
    "user_id,item_id,timestamp,value\nu1,i1,2024-01-01T00:00:00Z,5\nu2,i2,2024-01-02T00:00:00Z,4\n"
)
HEADER, FIRST, SECOND, _ = GOOD.split("\n")


def importing(tmp_path: Path, name: str = "log.csv") -> list[str]:
    events, to = str(tmp_path / name), str(tmp_path / "dataset")
    return ["import", "--format", "table", "--events", events, "--to", to]


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    assert run(importing(tmp_path)) == 0
    assert load_dataset(tmp_path / "dataset").n_events == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"user_id,item_id,timestamp\n", "no events"),
        (b"user_id,when\nu1,2024-01-01\n", "item_id"),
        (GOOD.replace(",", ";").encode(), ";"),
        (f"{HEADER}\n{FIRST}\nu2,i2,2024-01-02T00:00:00,4\n".encode(), "zone"),
        (f"{HEADER}\n{FIRST}\n{HEADER}\n{SECOND}\n".encode(), "header"),
        (f"{HEADER}\n{FIRST}\n".encode() + b"u\xff2,i2,2024-01-02T00:00:00Z,4\n", "line 3"),
        (f"{HEADER}\n{FIRST}\nu2,i2,2024-01-02T00:00:00Z,NaN\n".encode(), "line 3"),
        (f"{HEADER}\n{FIRST}\nu2,i2,yesterday,4\n".encode(), "yesterday"),
        (f"{HEADER}\n{FIRST}\nu2,i2,2924-01-02T00:00:00Z,4\n".encode(), "future"),
        (f"{HEADER}\n{FIRST}\n,i2,2024-01-02T00:00:00Z,4\n".encode(), "user_id"),
        (f"{HEADER}\n{FIRST}\nu2,i2,2024-01-02T00:00:00Z,good\n".encode(), "good"),
        (f"{HEADER}\n{FIRST}\n{FIRST}\n".encode(), "duplicate"),
        (f"{HEADER}\n{FIRST}\nu2,i2\n".encode(), "line 3"),
    ],
)
def test_a_bad_log_is_refused_with_a_reason(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    assert run(importing(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert said in err.lower()
    assert "log.csv" in err or "no events" in err
    assert out == ""
    assert not (tmp_path / "dataset").exists()


def test_all_problems_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["u2,i2,soon,4", ",i2,2024-01-02T00:00:00Z,4", "u2,i3,2024-01-02T00:00:00Z,high"]
    (tmp_path / "log.csv").write_text("\n".join([HEADER, FIRST, *rows, ""]))
    assert run(importing(tmp_path)) == 1
    err = capsys.readouterr().err
    assert all(value in err for value in ("soon", "user_id", "high"))
    assert run([*importing(tmp_path), "--on-error", "skip"]) == 0
    assert load_dataset(tmp_path / "dataset").n_events == 1
    side = next((tmp_path / "dataset").rglob("skipped.jsonl"))
    assert len([json.loads(line) for line in side.read_text().splitlines()]) == 3


def test_one_row_imports_but_cannot_be_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text(f"{HEADER}\n{FIRST}\n")
    assert run(importing(tmp_path)) == 0
    for command in (["evaluate"], ["fit", "--bundle", str(tmp_path / "bundle")]):
        capsys.readouterr()
        assert run([command[0], str(tmp_path / "dataset"), *command[1:]]) == 1
        assert "more data" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_a_line_of_a_gigabyte_does_not_eat_the_memory(tmp_path: Path) -> None:
    huge = tmp_path / "log.csv"
    with huge.open("wb") as file:
        file.write(f"{HEADER}\n".encode())
        for _ in range(1024):
            file.write(b"x" * 1_048_576)
    # Its own peak: what `getrusage` says counts the process that started it too.
    code = (
        "import re, sys; from pathlib import Path; from crossfade.cli.app import run; "
        f"code = run({importing(tmp_path)!r}); "
        "found = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()); "
        "print(int(found[1]) // 1024); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    huge.unlink()
    assert done.returncode == 1
    assert "log.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split()[-1]) < 1500


def flip_a_byte(bundle: Path) -> None:
    part = next(bundle.glob("parts-*/base-*.safetensors"))
    raw = bytearray(part.read_bytes())
    raw[-1] ^= 1
    part.write_bytes(raw)


def truncate(bundle: Path) -> None:
    part = next(bundle.glob("parts-*/events.parquet"))
    part.write_bytes(part.read_bytes()[:-10])


def remove_a_part(bundle: Path) -> None:
    next(bundle.glob("parts-*/items.parquet")).unlink()


def halve_the_manifest(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text()[:200])


def make_it_newer(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip_a_byte, "checksum"),
        (truncate, "checksum"),
        (remove_a_part, "missing"),
        (halve_the_manifest, "damaged"),
        (make_it_newer, "upgrade"),
    ],
)
def test_a_harmed_bundle_is_refused(
    harm: Callable[[Path], None],
    said: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    harm(copy)
    capsys.readouterr()
    assert run(["recommend", "--bundle", str(copy), "--items", "x"]) == 1
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_a_full_disk_leaves_the_old_bundle(
    bundle: Path, world_directory: Path, quick: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    before = (copy / "manifest.json").read_text()
    # No file may grow beyond 20 kB: writing fails as it does on a full disk.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); from crossfade.cli.app import run; "
        f"sys.exit(run(['fit', {str(world_directory)!r}, '--bundle', {str(copy)!r}, '--config', {str(quick)!r}]))"
    )
    # Kernels compiled meanwhile may not be cached under that limit, hence a cache of their own.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert (copy / "manifest.json").read_text() == before
    assert run(["recommend", "--bundle", str(copy), "--items", "nothing-known"]) == 1
    assert len(list(copy.glob("parts-*"))) == 1
