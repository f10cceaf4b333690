"""Text of items as vectors: one text per item, encoders, and a cache of what they made.

Importing this loads no encoder's libraries; they are imported when it is made.
"""

from crossfade.features.text.base import N_DIMS, TextEncoder
from crossfade.features.text.cache import encode_cached
from crossfade.features.text.document import item_texts
from crossfade.features.text.registry import (
    ENCODER_NAMES,
    EncoderName,
    make_encoder,
    restore_encoder,
)

__all__ = [
    "ENCODER_NAMES",
    "N_DIMS",
    "EncoderName",
    "TextEncoder",
    "encode_cached",
    "item_texts",
    "make_encoder",
    "restore_encoder",
]
