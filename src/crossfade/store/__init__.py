"""Bytes and rows on disk; imports no model."""

from crossfade.store.bundle import Bundle, load_bundle, save_bundle

__all__ = ["Bundle", "load_bundle", "save_bundle"]
