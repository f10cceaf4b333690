"""A/B experiments: who is in which arm, what came of it, and when there is enough to decide."""

from crossfade.experiments.config import Arm, Experiment

__all__ = ["Arm", "Experiment"]
