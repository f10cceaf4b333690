"""Logs and catalogues: the event contract, checked data sets, importers, splits, the built-in world."""

from crossfade.data.dataset import Dataset
from crossfade.data.directory import load_dataset, save_dataset
from crossfade.data.query import Queries, Taste
from crossfade.data.target import Target
from crossfade.data.vocabulary import Vocabulary

__all__ = ["Dataset", "Queries", "Target", "Taste", "Vocabulary", "load_dataset", "save_dataset"]
