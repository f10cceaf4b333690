"""Every modality by name, and which of them somebody may read."""

from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from crossfade.data import Dataset
from crossfade.errors import ConfigError
from crossfade.features.modalities.audio import Audio
from crossfade.features.modalities.base import Asked, Encoded, Modality, Provenance
from crossfade.features.modalities.environment import Environment
from crossfade.features.modalities.social import Social
from crossfade.features.modalities.tags import Tags
from crossfade.features.modalities.text import Text
from crossfade.features.modalities.vectors import Vectors

MODALITIES: dict[str, type[Modality]] = {
    kind.name: kind for kind in (Text, Audio, Tags, Social, Environment)
}
"""From name to class; a new modality joins by being listed here. Tables of vectors need not be listed."""


SNAPSHOT = "snapshot_"
"""How names start of what was counted, or learned from events, when data were collected."""


def fit_modalities(
    names: Sequence[str],
    log: Dataset,
    may_read: Collection[Provenance] = get_args(Provenance),
    seed: int = 0,
) -> dict[str, Modality]:
    """Fitted modalities, in the order of their names.

    Args:
        names: Of `MODALITIES`, or of tables of vectors that the log has.
        log: To learn from; see `Modality.fit`.
        may_read: What the columns may be made of; ``{"content"}`` keeps all that was counted from events out.
        seed: The run's seed.

    Raises:
        ConfigError: With every name that is unknown, given twice, of two modalities, or not to be read;
            vectors called ``snapshot_…`` are read by nobody.
    """
    faults = [fault for name in dict.fromkeys(names) for fault in _faults(name, log, may_read)]
    faults += [
        f'modality "{name}" is named twice; name it once'
        for name in dict.fromkeys(names)
        if list(names).count(name) > 1
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return {
        name: (MODALITIES[name]() if name in MODALITIES else Vectors(name)).fit(log, seed)
        for name in names
    }


def encode_all(modalities: Mapping[str, Modality], asked: Asked) -> dict[str, Encoded]:
    """What each says, by name: values and where they are known."""
    return {name: modality.encode(asked) for name, modality in modalities.items()}


def _faults(name: str, log: Dataset, may_read: Collection[Provenance]) -> list[str]:
    if name not in MODALITIES and name not in log.vectors:
        known = ", ".join([*MODALITIES, *sorted(log.vectors)])
        return [
            f'{log.name} has no modality "{name}"; choose from {known}, or import a table [vectors.{name}]'
        ]
    if name in MODALITIES and name in log.vectors:
        return [f'{log.name}: two modalities are called "{name}"; rename the table of vectors']
    if name.startswith(SNAPSHOT):
        return [
            f'vectors "{name}" are called {SNAPSHOT}…, so they know the future and nothing may learn from them; '
            "leave them out, or rename the table if they were made of content alone"
        ]
    kind = MODALITIES.get(name, Vectors)
    refused = sorted(kind.provenance - set(may_read))
    if refused:
        allowed = ", ".join(sorted(may_read))
        return [
            f'modality "{name}" is made of {", ".join(refused)}, and only {allowed} may be read here; leave it out'
        ]
    return []
