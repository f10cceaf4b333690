"""Networks that weigh the bases anew for every request and candidate."""
