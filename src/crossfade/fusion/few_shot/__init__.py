"""A gate so small that a handful of lists can teach it, and that can be carried from domain to domain."""
