"""Nearest neighbours among item vectors: exact, or approximate with a measured loss."""

from crossfade.index.build import build_index
from crossfade.index.config import IndexConfig
from crossfade.index.index import Index, load_index

__all__ = ["Index", "IndexConfig", "build_index", "load_index"]
