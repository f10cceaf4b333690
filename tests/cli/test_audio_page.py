"""The page on audio features says what works: its commands, its settings and its Python run."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.audio.catalogues import planted

from crossfade.audio.config import AudioConfig
from crossfade.cli.app import run
from crossfade.config import validate
from crossfade.data import Dataset, save_dataset
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.audio import AudioFeatures, Source

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "audio-features.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [block for name, block in BLOCKS if name == kind]


def test_the_settings_block_is_valid() -> None:
    (settings,) = blocks("toml")
    validate(AudioConfig, tomllib.loads(settings), str(PAGE))


def test_commands_and_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = planted(40, 3)
    reference.with_columns(pl.col("genres", "moods").list.join("|")).write_csv("reference.csv")
    songs = planted(10, 3, seed=1)
    half = pl.int_range(pl.len()) < 15
    partly = songs.with_columns(pl.when(half).then(name).alias(name) for name in AUDIO_FEATURES)
    events = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["i0", "i20"]})
    save_dataset(Dataset.build(events, partly, name="songs"), tmp_path / "songs")
    Path("audio.toml").write_text(blocks("toml")[0])

    commands = [shlex.split(line)[1:] for block in blocks("sh") for line in block.splitlines()]
    assert [command[:2] for command in commands] == [["audio", "fit"], ["audio", "complete"]]
    commands[0] += ["--config", "audio.toml"]  # as the page offers; the defaults take a minute
    said = []
    for command in commands:
        assert run(command) == 0, capsys.readouterr().err
        said.append(capsys.readouterr().out)
    assert "creators held out" in said[0]
    assert said[1].split()[:5] == ["feature", "missing", "actual", "predicted", "prior"]

    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["guessed"].sum() == 15 * len(AUDIO_FEATURES)
    assert names["guess"].mean.shape == (1, 8)
    assert (names["low"] <= names["high"]).all()


def test_the_columns_of_the_page_are_those_of_a_completed_catalogue() -> None:
    told = re.findall(r"^\| `(energy\w*)`", TEXT, re.MULTILINE)
    items = planted(2, 2).select("item_id", "energy")
    made = AudioFeatures.from_items(items).to_items(items).columns
    assert set(told) == {name for name in made if name.startswith("energy")}


def test_the_words_for_sources_are_those_of_the_code() -> None:
    (row,) = re.findall(r"^\| `energy_source` \|(.*)$", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == {source.name.lower() for source in Source}
