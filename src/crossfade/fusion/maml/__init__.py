"""Meta-learned gates: weights of the bases that a few reactions of one person can move."""
