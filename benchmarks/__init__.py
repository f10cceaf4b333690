"""Commands that make the tables in this folder; none of them is a test."""
