"""The version of this package, which saved directories name."""

__version__ = "0.1.0"
