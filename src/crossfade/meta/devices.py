"""Settings of a system with all its networks trained on one device."""

from collections.abc import Mapping
from typing import Any

from crossfade.config import validate
from crossfade.fusion.auto import AutoConfig
from crossfade.fusion.registry import FUSIONS, fusion_kind
from crossfade.meta.blending import Bases
from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.training.config import DeviceName, TrainConfig


def bases_on_device(settings: Bases, device: DeviceName) -> dict[str, dict[str, Any]]:
    """The same bases, with the networks among them trained elsewhere; others stay as they are."""
    moved = {}
    for label, entry in settings.items():
        kind = RECOMMENDERS.get(str(entry.get("model", label)))
        trains = kind is not None and "train" in kind.Config.model_fields
        moved[label] = (
            {**entry, "train": {**entry.get("train", {}), "device": device}}
            if trains
            else dict(entry)
        )
    return moved


def fusions_on_device(
    settings: Mapping[str, Mapping[str, Any]], device: DeviceName
) -> dict[str, dict[str, Any]]:
    """Settings of fusion models by name, with every network of the registry trained elsewhere.

    Nothing else changes: what was given stays, what was left out keeps its default, for the
    candidates of `auto` too.

    Args:
        settings: As in ``fusion_settings`` of the blend.
        device: Where.

    Raises:
        ConfigError: If settings of a model that has a network are wrong.
    """
    moved = {name: dict(entry) for name, entry in settings.items()}
    for name in FUSIONS:
        entry = _moved(name, moved.get(name, {}), device)
        if entry:
            moved[name] = entry
    return moved


def _moved(name: str, entry: Mapping[str, Any], device: DeviceName) -> dict[str, Any]:
    kind = fusion_kind(name)
    if not kind.Config.model_fields.keys() & {"train", "candidates"}:
        return dict(entry)
    config = validate(kind.Config, dict(entry), f"fusion.{name}")
    if isinstance(config, AutoConfig):
        # Giving ``settings`` replaces the default ones, so those are given too.
        nested = {
            one: _moved(one, config.settings.get(one, {}), device) for one in config.candidates
        }
        told = {one: values for one, values in nested.items() if values}
        return {**entry, "settings": {**config.settings, **told}}
    train = getattr(config, "train", None)
    if not isinstance(train, TrainConfig):
        return dict(entry)
    # Likewise: a loop of which only the device is given would lose the defaults of this model's loop.
    return {**entry, "train": train.changed(device=device).model_dump()}
