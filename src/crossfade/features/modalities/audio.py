"""What tracks sound like, and how sure that is."""

from typing import Self

import numpy as np

from crossfade.data import Dataset
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.audio import AudioFeatures
from crossfade.features.audio_scale import confidence, spread, unit
from crossfade.features.modalities.base import ItemModality, known_items
from crossfade.types import Doubles, Floats, Rows


class Audio(ItemModality):
    """Eight audio features in [0, 1] and the confidence in each, 1 where it was measured.

    A feature that no item had at fit stays absent: nobody could have learned what it means.
    """

    name = "audio"
    reads = tuple(
        f"items.{name}{end}" for name in AUDIO_FEATURES for end in ("", "_sigma", "_source")
    )

    _spread: Doubles

    def fit(self, log: Dataset, seed: int = 0) -> Self:  # noqa: ARG002
        """See `Modality.fit`."""
        self._spread = spread(AudioFeatures.from_items(log.items), known_items(log))
        return self

    def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
        audio = AudioFeatures.from_items(data.items[item_row])
        # No confidence in nothing: with a known 0 there, no item would ever be without audio.
        told = audio.known & ~np.isnan(self._spread)
        both = np.hstack([unit(audio.mean), confidence(audio, self._spread)])
        return np.where(np.hstack([told, told]), both, np.nan).astype(np.float32)
