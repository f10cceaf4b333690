"""Every fusion model by name, imported only when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

from crossfade.config import validate
from crossfade.errors import ConfigError
from crossfade.fusion.base import FusionModel

FUSIONS: dict[str, str] = {
    "static": "static_tuned:Static",
    "rrf": "rrf:RRF",
    "combsum": "combsum:CombSum",
    "confidence_weighted": "confidence_weighted:ConfidenceWeighted",
    "learned_weights": "learned_weights:LearnedWeights",
    "adaptive": "adaptive:Adaptive",
    "ridge": "ridge:Ridge",
    "fwls": "fwls:FWLS",
    "lambdamart": "lambdamart:LambdaMART",
    "hard_selection": "hard_selection:HardSelection",
    "meta": "gate.model:MetaFusion",
    "attention": "gate.attention:AttentionFusion",
    "hypernetwork": "gate.hypernetwork:HypernetworkFusion",
    "personalised": "gate.personalised:PersonalisedFusion",
    "maml": "maml.model:Maml",
    "few_shot": "few_shot.model:FewShotGate",
    "auto": "auto:AutoFusion",
}
"""From name to module and class within this package; a new model joins by one line here."""


def fusion_kind(name: str) -> type[FusionModel[Any]]:
    """The class of a fusion model; its module is imported now.

    Args:
        name: One of `FUSIONS`.

    Raises:
        ConfigError: For an unknown name, or for ``"oracle"``.
    """
    if name == "oracle":
        raise ConfigError(
            "fusion.oracle: the oracle needs to know what was wanted, so it is for evaluation only; "
            f"choose from {', '.join(sorted(FUSIONS))}"
        )
    if name not in FUSIONS:
        raise ConfigError(
            f'fusion.{name}: there is no fusion model "{name}"; choose from {", ".join(sorted(FUSIONS))}'
        )
    module, _, kind = FUSIONS[name].partition(":")
    found: type[FusionModel[Any]] = getattr(
        importlib.import_module(f"crossfade.fusion.{module}"), kind
    )
    return found


def make_fusion(name: str, settings: Mapping[str, Any] | None = None) -> FusionModel[Any]:
    """An unfitted fusion model.

    Args:
        name: One of `FUSIONS`.
        settings: Values that differ from the defaults of its ``Config``.

    Raises:
        ConfigError: For an unknown name, or with one line per wrong setting.
    """
    kind = fusion_kind(name)
    return kind(validate(kind.Config, dict(settings or {}), f"fusion.{name}"))
