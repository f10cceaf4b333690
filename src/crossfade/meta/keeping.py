"""What a blend is learned from, kept on disk: only what shapes the lists decides whether they are made again."""

import json
import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from crossfade.config import validate
from crossfade.data.fingerprint import fingerprint
from crossfade.data.splits import Plan
from crossfade.errors import BundleError, ConfigError
from crossfade.features.environment import EnvironmentConfig, EnvironmentSchema
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.meta.blending import Bases, BlendConfig
from crossfade.meta.chain import Material, gather
from crossfade.meta.track import TrackRecord
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.store.cache import ArrayCache, CacheConfig
from crossfade.training.config import TrainConfig
from crossfade.training.device import resolve_device
from crossfade.types import Arrays
from crossfade.version import __version__

_log = logging.getLogger(__name__)

SCHEMA = 2
"""Of what is kept and how it comes about: raise it when the same settings give other lists."""

SHAPING = ("n_candidates", "n_new", "new_days", "max_requests", "n_earlier_blocks")
"""Settings of the blend that `gather` reads; the others change no list."""

PLACES = ("checkpoint", "text_cache")
"""Settings of bases that say where something is kept; they change no score."""


class ListCache:
    """Candidate lists from run to run.

    What is damaged is made again, and what cannot be written is gone without; ``tell`` gets one
    line each time, also of what was found and of what was written.

    Args:
        directory: Where; created where absent.
        config: How much it may hold.
        tell: Takes a line; by default a warning of this module's logger.

    Raises:
        BundleError: If there can be no such directory.
    """

    def __init__(
        self,
        directory: Path,
        config: CacheConfig | None = None,
        tell: Callable[[str], None] = _log.warning,
    ) -> None:
        self._kept = ArrayCache(directory, (config or CacheConfig()).max_bytes)
        self._tell = tell

    def gather(self, plan: Plan, bases: Bases, config: BlendConfig, seed: int) -> Material:
        """What `chain.gather` gives for the same, to the last bit.

        Raises:
            ConfigError: With every wrong setting of every base.
        """
        key = key_of(plan, bases, config, seed)
        place = self._kept.place(key)
        try:
            kept = self._kept.get(key)
            found = None if kept is None else unpacked(*kept, place)
        except BundleError as error:
            self._kept.forget(key)
            self._tell(f"cache: {error}; making the lists again")
            found = None
        if found is not None:
            self._tell(f"cache: lists of {_n_requests(found):,} requests taken from {place}")
            return found
        made = gather(plan, bases, config, seed)
        header, arrays = packed(made)
        try:
            n_gone = self._kept.put(key, header, arrays)
        except BundleError as error:
            self._tell(f"cache: {error}; going on, nothing is kept")
        else:
            megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
            gone = f"; entries taken away to make room: {n_gone}" if n_gone else ""
            self._tell(
                f"cache: lists of {_n_requests(made):,} requests written to {place} ({megabytes:,.1f} MB){gone}"
            )
        return made


def key_of(plan: Plan, bases: Bases, config: BlendConfig, seed: int) -> str:
    """Hex SHA-256 over everything that `gather` depends on.

    The test block is not part of it. Of the bases, every setting counts as it is with defaults
    filled in, and their order does; the order of settings does not. A network's device counts as
    the one it would run on here, since another one rounds differently.

    Raises:
        ConfigError: With every wrong setting of every base.
    """
    made = make_all(bases)
    facts = {
        "schema": SCHEMA,
        "crossfade": __version__,
        "seed": seed,
        "protocol": plan.protocol.model_dump(mode="json"),
        "lists": config.model_dump(mode="json", include=set(SHAPING)),
        "bases": [[label, base.name, _settings(base)] for label, base in made.items()],
    }
    return fingerprint(json.dumps(facts, sort_keys=True), plan.fuse, plan.calibrate)


def _settings(base: Recommender[Any]) -> dict[str, Any]:
    values: dict[str, Any] = base.config.model_dump(mode="json", exclude=set(PLACES))
    train = getattr(base.config, "train", None)
    if isinstance(train, TrainConfig):
        values["train"]["device"] = resolve_device(train.device).type
    return values


def packed(material: Material) -> tuple[dict[str, Any], Arrays]:
    """Plain values for a header, and arrays."""
    header: dict[str, Any] = {"clock": material.clock, "columns": {}}
    arrays: Arrays = {"is_fuse": material.is_fuse}
    for name in ("train", "calibrate"):
        part: LabelledSignals = getattr(material, name)
        header["columns"][name] = vars(part.signals.columns)
        for owner in (part, part.signals):
            for key in (field.name for field in fields(owner)):
                value = getattr(owner, key)
                if key not in {"signals", "columns"} and value is not None:
                    arrays[f"{name}.{key}"] = value
    arrays |= {f"track.{key}": array for key, array in material.track.to_arrays().items()}
    if material.environment is not None:
        header["environment"] = material.environment.config.model_dump(mode="json")
        kept = material.environment.to_arrays()
        arrays |= {f"environment.{key}": array for key, array in kept.items()}
    return header, arrays


def unpacked(header: dict[str, Any], arrays: Arrays, place: Path) -> Material:
    """The inverse of `packed`.

    Args:
        header: Plain values.
        arrays: By name.
        place: Where they come from, for the message.

    Raises:
        BundleError: If a part is missing or does not fit.
    """

    def part(name: str) -> Any:
        start = f"{name}."
        return {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}

    def labelled(name: str) -> LabelledSignals:
        held = part(name)
        columns = Columns(**{k: tuple(v) for k, v in header["columns"][name].items()})
        outside = {f.name: held.pop(f.name) for f in fields(LabelledSignals) if f.name != "signals"}
        return LabelledSignals(signals=Signals(**held, columns=columns), **outside)

    try:
        environment = None
        if "environment" in header:
            config = validate(EnvironmentConfig, header["environment"], str(place))
            environment = EnvironmentSchema.from_arrays(part("environment"), config)
        return Material(
            train=labelled("train"),
            is_fuse=arrays["is_fuse"],  # type: ignore[arg-type]
            calibrate=labelled("calibrate"),
            track=TrackRecord.from_arrays(part("track")),
            clock=header["clock"],
            environment=environment,
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise BundleError(f"{place}: damaged ({error} is missing or wrong)") from None


def _n_requests(material: Material) -> int:
    return len(material.train) + len(material.calibrate)
