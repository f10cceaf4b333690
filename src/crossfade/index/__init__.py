"""Nearest neighbours among item vectors: exact, or approximate with a measured loss."""
