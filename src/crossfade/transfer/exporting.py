"""What leaves a domain: a directory with gates and summaries, and nothing of a person."""

from pathlib import Path
from typing import Any

import numpy as np

from crossfade.errors import BundleError, ConfigError
from crossfade.store import Bundle, load_bundle, save_bundle
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.facts import DOMAIN
from crossfade.transfer.knowledge import Bowl, Knowledge
from crossfade.transfer.moments import Moments
from crossfade.transfer.prior import Prior
from crossfade.transfer.prototypes import Prototypes
from crossfade.types import Arrays

FORM = 1
"""Of the arrays; another number is refused."""


def save_knowledge(knowledge: Knowledge, directory: Path) -> str:
    """Write what a source taught, and return its version id.

    Raises:
        BundleError: If the place holds something else or the disk refuses.
    """
    bowls: Arrays = {
        "lowest": np.stack([one.lowest for one in knowledge.bowls]),
        "curvature": np.stack([one.curvature for one in knowledge.bowls]),
    }
    header = {
        "knowledge": {
            "form": FORM,
            "name": knowledge.name,
            "bases": knowledge.settings,
            "facts": list(DOMAIN),
            "groups": [one.name for one in knowledge.bowls],
        }
    }
    arrays = {
        "prior": knowledge.prior.to_arrays(),
        "inner": knowledge.inner.to_arrays(),
        "moments": knowledge.moments.to_arrays(),
        "prototypes": knowledge.prototypes.to_arrays(),
        "bowls": bowls,
    }
    return save_bundle(Bundle(header, arrays, {}), directory)


def load_knowledge(directory: Path) -> Knowledge:
    """The inverse of `save_knowledge`.

    Raises:
        BundleError: If it is missing, damaged, or holds something else, such as a whole system.
    """
    bundle = load_bundle(directory)
    told: dict[str, Any] | None = bundle.header.get("knowledge")
    if told is None:
        raise BundleError(
            f"{directory}: holds no knowledge of a source; give a data set, or what "
            "crossfade transfer --export wrote"
        )
    if told["form"] != FORM or told["facts"] != list(DOMAIN):
        raise BundleError(
            f"{directory}: was exported in another form ({told['form']}, facts {', '.join(told['facts'])}); "
            "export it again with this crossfade"
        )
    part = bundle.arrays
    bowls = tuple(
        Bowl(name, lowest, curvature)
        for name, lowest, curvature in zip(
            told["groups"], part["bowls"]["lowest"], part["bowls"]["curvature"], strict=True
        )
    )
    return Knowledge(
        told["name"],
        told["bases"],
        Prior.from_arrays(part["prior"]),
        Prior.from_arrays(part["inner"]),
        Moments.from_arrays(part["moments"]),
        bowls,
        Prototypes.from_arrays(part["prototypes"]),
    )


def check_bases(knowledge: Knowledge, config: TransferConfig) -> None:
    """Raise unless a source learned to blend the bases that a target has.

    Raises:
        ConfigError: If it learned with others.
    """
    if knowledge.settings != config.bases or list(knowledge.settings) != list(config.bases):
        raise ConfigError(
            f"{knowledge.name} learned to blend other bases ({', '.join(knowledge.settings)}) than the target has "
            f"({', '.join(config.bases)}), or with other settings; learn from it again with these"
        )
