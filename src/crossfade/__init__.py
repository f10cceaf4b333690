"""A hybrid recommender whose fusion is meta-learned."""

__version__ = "0.1.0"
