"""Arrays as of a time: 18 session features, temporal context, and their scaling."""

from crossfade.features.dictionary import (
    SESSION_FEATURE_NAMES,
    SESSION_FEATURES,
    TEMPORAL_FEATURE_NAMES,
    TEMPORAL_FEATURES,
    Feature,
)
from crossfade.features.reference import NO_TIME, SessionFeatureConfig, SessionReference
from crossfade.features.scaler import SessionScaler
from crossfade.features.session import fit_reference, session_features, session_features_at
from crossfade.features.state import Play, SessionState
from crossfade.features.temporal import last_event_us, temporal_context

__all__ = [
    "NO_TIME",
    "SESSION_FEATURES",
    "SESSION_FEATURE_NAMES",
    "TEMPORAL_FEATURES",
    "TEMPORAL_FEATURE_NAMES",
    "Feature",
    "Play",
    "SessionFeatureConfig",
    "SessionReference",
    "SessionScaler",
    "SessionState",
    "fit_reference",
    "last_event_us",
    "session_features",
    "session_features_at",
    "temporal_context",
]
