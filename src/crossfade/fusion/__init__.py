"""Ways to blend base scores, one file each, behind one protocol."""
