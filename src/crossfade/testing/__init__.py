"""Contracts that every model must keep, as functions anyone can run on a model of their own."""

from crossfade.testing.data import checkerboard, tiny_catalogue
from crossfade.testing.recommenders import RECOMMENDER_CHECKS

__all__ = ["RECOMMENDER_CHECKS", "checkerboard", "tiny_catalogue"]
