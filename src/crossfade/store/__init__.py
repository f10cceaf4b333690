"""Bytes and rows on disk; imports no model."""

from crossfade.store.bundle import Bundle, load_bundle, save_bundle
from crossfade.store.difference import Difference
from crossfade.store.registry import Registry
from crossfade.store.version import INDEX, INDEX_KIND, Version

__all__ = [
    "INDEX",
    "INDEX_KIND",
    "Bundle",
    "Difference",
    "Registry",
    "Version",
    "load_bundle",
    "save_bundle",
]
