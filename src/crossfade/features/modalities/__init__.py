"""Modalities: whatever is known of items and requests as columns and masks, under one name each."""

from crossfade.features.modalities.base import (
    Asked,
    Encoded,
    ItemModality,
    Modality,
    Provenance,
    known_items,
)
from crossfade.features.modalities.registry import MODALITIES, encode_all, fit_modalities

__all__ = [
    "MODALITIES",
    "Asked",
    "Encoded",
    "ItemModality",
    "Modality",
    "Provenance",
    "encode_all",
    "fit_modalities",
    "known_items",
]
