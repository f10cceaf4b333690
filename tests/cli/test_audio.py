"""`crossfade audio` from the catalogue to the completed data set."""

from pathlib import Path

import polars as pl
import pytest
from tests.audio.catalogues import planted

from crossfade.cli.app import run
from crossfade.data import Dataset, load_dataset, save_dataset

Captured = pytest.CaptureFixture[str]
QUICK = "folds = 2\nhidden = 8\nmin_examples = 600\n"


@pytest.fixture
def quick_audio(tmp_path: Path) -> Path:
    path = tmp_path / "audio.toml"
    path.write_text(QUICK)
    return path


def fitted(catalogue: Path, config: Path, out: Path) -> int:
    return run(["audio", "fit", str(catalogue), "--out", str(out), "--config", str(config)])


def test_a_data_set_is_completed(tmp_path: Path, quick_audio: Path, capsys: Captured) -> None:
    items = planted(40, 3)
    partly = items.with_columns(
        pl.when(pl.int_range(pl.len()) >= 30).then("energy").alias("energy")
    )
    events = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["i0", "i50"]})
    save_dataset(Dataset.build(events, partly, name="songs"), tmp_path / "songs")

    assert fitted(tmp_path / "songs", quick_audio, tmp_path / "model") == 0
    shown = capsys.readouterr().out
    assert "energy" in shown
    assert " 90 " in shown  # 30 of 120 have no energy to learn from
    assert "90 % covers" in shown

    arguments = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "whole")]
    assert run(["audio", "complete", str(tmp_path / "songs"), *arguments]) == 0
    assert "predicted" in capsys.readouterr().out
    before, after = load_dataset(tmp_path / "songs"), load_dataset(tmp_path / "whole")
    assert after.items["energy"].null_count() == 0
    assert after.items["energy_source"].value_counts().sort("count").rows() == [
        ("predicted", 30),
        ("actual", 90),
    ]
    assert after.events.equals(before.events)
    kept = before.items.drop("energy").columns
    assert after.items.select(kept).equals(before.items.select(kept))


def test_a_csv_catalogue_will_do(tmp_path: Path, quick_audio: Path, capsys: Captured) -> None:
    items = planted(30, 2).with_columns(pl.col("genres", "moods").list.join("|"))
    items.write_csv(tmp_path / "items.csv")
    assert fitted(tmp_path / "items.csv", quick_audio, tmp_path / "model") == 0, (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.csv", "no such file or directory"),
        ("notes.txt", "give a .parquet or .csv file"),
        ("broken.parquet", "cannot be read"),
        ("seconds.csv", "may be beats per second, then multiply by 60"),
        ("few.csv", "too few to learn from"),
    ],
)
def test_what_is_no_catalogue_is_refused_in_one_message(
    tmp_path: Path, quick_audio: Path, capsys: Captured, name: str, message: str
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.parquet").write_text("hello")
    (tmp_path / "seconds.csv").write_text("item_id,title,tempo\na,One,2.0\n")
    (tmp_path / "few.csv").write_text("item_id,title,tempo\na,One,120\n")
    assert fitted(tmp_path / name, quick_audio, tmp_path / "model") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "model").exists()


def test_a_wrong_setting_is_named(tmp_path: Path, capsys: Captured) -> None:
    config = tmp_path / "audio.toml"
    config.write_text("folds = 1\n")
    assert fitted(tmp_path / "any.csv", config, tmp_path / "model") == 1
    assert "folds" in capsys.readouterr().err
