"""Every calibrator by name, and one set of arrays for any of them."""

import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.calibration.base import Calibrator
from crossfade.calibration.beta import BetaCalibration
from crossfade.calibration.identity import Identity
from crossfade.calibration.isotonic import IsotonicCalibration
from crossfade.calibration.network import CalibrationNetwork
from crossfade.calibration.platt import PlattScaling
from crossfade.calibration.temperature import TemperatureScaling
from crossfade.errors import BundleError
from crossfade.types import Arrays

CALIBRATORS: dict[str, type[Calibrator]] = {
    kind.name: kind
    for kind in (
        TemperatureScaling,
        PlattScaling,
        BetaCalibration,
        IsotonicCalibration,
        CalibrationNetwork,
        Identity,
    )
}
"""From name to class, simplest first but for the one that learns nothing."""


def pack_calibrator(prefix: str, calibrator: Calibrator) -> Arrays:
    """A fitted calibrator and its name as plain arrays whose names start with ``prefix``."""
    named = pack_strings(f"{prefix}.name", [calibrator.name])
    return {**named, **{f"{prefix}.{key}": value for key, value in calibrator.state().items()}}


def unpack_calibrator(prefix: str, arrays: Arrays) -> Calibrator:
    """The inverse of `pack_calibrator`.

    Raises:
        BundleError: If the calibrator is of a kind this version does not know.
        KeyError: If an array is missing.
    """
    (name,) = unpack_strings(f"{prefix}.name", arrays)
    if name not in CALIBRATORS:
        raise BundleError(
            f'there is no calibrator "{name}" in this version; it has {", ".join(CALIBRATORS)}'
        )
    start = f"{prefix}."
    own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
    return CALIBRATORS[name].restore({key: np.asarray(array) for key, array in own.items()})
