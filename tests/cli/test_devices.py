"""`--device` of the commands that train networks."""

from pathlib import Path

import pytest
import torch

from crossfade.cli.app import run
from crossfade.training import loop

SETTINGS = """
compare = ["meta"]
[bases.popularity]
[bases.item_knn]
[blend]
min_requests = 5
fusion = "auto"
[blend.fusion_settings.meta]
hidden = 4
train = { epochs = 1 }
[blend.fusion_settings.auto]
candidates = ["meta"]
n_folds = 2
settings = { meta = { hidden = 4, train = { epochs = 1 } } }
[evaluation]
resamples = 100
flips = 100
"""


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "nowhere", "--bundle", "bundle"),
        ("fit", "nowhere", "--bundle", "bundle", "--weekly-from", "nothing"),
        ("evaluate", "nowhere"),
        ("fuse", "--scores", "nothing.parquet", "--events", "nowhere"),
    ],
)
def test_a_gpu_that_is_not_there_is_told_before_anything_is_even_read(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run([*command, "--device", "cuda"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith('error: device "cuda" was asked for, but PyTorch finds no GPU here')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_every_network_of_a_run_is_asked_to_train_there(
    command: str, world_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def resolve(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(loop, "resolve_device", resolve)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    place = ["--bundle", str(tmp_path / "bundle")] if command == "fit" else []
    told = [command, str(world_directory), "--config", str(tmp_path / "settings.toml"), *place]
    assert run([*told, "--device", "cpu"]) == 0
    # auto's two folds; evaluate compares with meta alone.
    assert len(asked) >= (2 if command == "fit" else 3)
    assert set(asked) == {"cpu"}
    asked.clear()
    assert run(told) == 0
    assert set(asked) == {"auto"}
