"""The eight audio features of tracks nobody measured: a guess with an honest spread."""
