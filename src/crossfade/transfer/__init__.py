"""Carrying what was learned in one domain into another with a handful of events, and knowing when not to."""
