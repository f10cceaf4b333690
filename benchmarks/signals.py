"""Signals of the five public sets that learned blends are judged on."""

import pickle
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.chain import Material, gather, without_clock
from crossfade.meta.config import DEFAULT_BASES
from crossfade.meta.contextual import contextual_signals

ROOT = Path(__file__).parent.parent
SEED = 0
SETS = (
    ("movielens-100k", "time"),
    ("amazon-cds", "time"),
    ("thirtymusic-sessions", "time"),
    ("wfmu-playlists", "time"),
    ("lastfm-hetrec2011", "user"),
)


@dataclass(frozen=True)
class Block:
    """Signals of one set: to learn from, and to be judged by."""

    material: Material
    test: LabelledSignals


def read_set(
    data: Path, name: str, folder: Path | None = None, part_of: str | None = None
) -> Dataset:
    """A set, imported by its mapping in ``configs/``.

    Args:
        data: Where the sets are.
        name: Of the set.
        folder: Where to import to; None imports to a folder that is removed again.
        part_of: Folder of the data, where it is not named after the set.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as for_now:
            return read_set(data, name, Path(for_now), part_of)
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
    import_table(mapping, folder / name, root=data / (part_of or name), now=datetime.now(UTC))
    return load_dataset(folder / name)


def block_of(name: str, protocol: str, data: Path, folder: Path, keep: Path | None = None) -> Block:
    """Signals of a set by bases that had not seen what was wanted.

    Args:
        name: Of the set.
        protocol: How its log is cut.
        data: Where the sets are.
        folder: Where to import to.
        keep: Folder of kept signals; what is missing there is made and kept. The files are
            these programs' own, so unpickling them is safe.
    """
    kept = None if keep is None else keep / f"{name}-{protocol}.pickle"
    if kept is not None and kept.exists():
        found: Block = pickle.loads(kept.read_bytes())  # noqa: S301
        return found
    plan = make_plan(read_set(data, name, folder), ProtocolConfig(name=protocol), SEED)
    config = BlendConfig()
    material = gather(plan, DEFAULT_BASES, config, SEED)
    trial = plan.tests[0]
    test = contextual_signals(
        trial,
        fit_bases(DEFAULT_BASES, trial.train, SEED),
        material.track,
        config=config,
        seed=SEED,
        environment=material.environment,
    )
    block = Block(material, test if material.clock else without_clock(test))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(block, protocol=5))
    return block
