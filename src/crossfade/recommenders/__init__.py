"""Base recommenders, one file each, behind one protocol."""
