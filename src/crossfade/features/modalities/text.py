"""What the words of the catalogue say."""

from typing import Self

from crossfade.data import Dataset
from crossfade.features.modalities.base import ItemModality, known_items
from crossfade.features.text import TextEncoder, item_texts, make_encoder
from crossfade.types import Floats, Rows


class Text(ItemModality):
    """Text vectors of length 1; absent where the encoder finds nothing to go by."""

    name = "text"
    reads = ("items.title", "items.creator", "items.collection", "items.genres", "items.moods")

    _encoder: TextEncoder

    def fit(self, log: Dataset, seed: int = 0) -> Self:
        """See `Modality.fit`."""
        texts = item_texts(log.items.filter(known_items(log)))
        self._encoder = make_encoder("tfidf").fit(texts, seed)
        return self

    def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
        return self._encoder.encode(item_texts(data.items[item_row]))
