"""Two networks, one for people and one for items, that meet in a dot product."""
