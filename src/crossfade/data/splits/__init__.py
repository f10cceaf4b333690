"""Honest questions: what to learn from, who asks when, and what happened next.

Every protocol cuts the log into four blocks (base, fuse, calibrate, test) and turns
a block into a `Trial`. The learned blend is tuned on the trial of the fuse block,
checked on the calibrate block and judged on the test block, each time with models that
saw only earlier blocks.
"""

from crossfade.data.splits.plan import make_plan, possible_protocol
from crossfade.data.splits.timed import window_trial
from crossfade.data.splits.trial import BLOCKS, Plan, ProtocolConfig, ProtocolName, Trial

__all__ = [
    "BLOCKS",
    "Plan",
    "ProtocolConfig",
    "ProtocolName",
    "Trial",
    "make_plan",
    "possible_protocol",
    "window_trial",
]
