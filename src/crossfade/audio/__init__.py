"""Audio features for items that have none, each with a spread that holds.

Import from the modules: `crossfade.audio.predictor` loads PyTorch, `crossfade.audio.config` does not.
"""
