"""Text of items as vectors."""
