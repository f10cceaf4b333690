"""From features of requests and candidates to context vectors.

`scaling` and `columns` are plain NumPy; everything else here needs PyTorch, so import it late.
"""
