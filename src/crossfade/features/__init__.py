"""Arrays as of a time: sessions, moments, items, tastes and trends, and their scaling."""

from crossfade.features.acclaim import ItemAcclaim
from crossfade.features.activity import activity_features, activity_features_at
from crossfade.features.dictionary import (
    SESSION_FEATURE_NAMES,
    SESSION_FEATURES,
    TEMPORAL_FEATURE_NAMES,
    TEMPORAL_FEATURES,
    Feature,
)
from crossfade.features.items import ItemArrays, ItemSchema, ItemSchemaConfig
from crossfade.features.reference import NO_TIME, SessionFeatureConfig, SessionReference
from crossfade.features.scaler import SessionScaler
from crossfade.features.session import fit_reference, session_features, session_features_at
from crossfade.features.state import Play, SessionState
from crossfade.features.temporal import last_event_us, temporal_context
from crossfade.features.trends import LabelTrends, TrendConfig
from crossfade.features.users import history_weights, label_preferences, request_time_features

__all__ = [
    "NO_TIME",
    "SESSION_FEATURES",
    "SESSION_FEATURE_NAMES",
    "TEMPORAL_FEATURES",
    "TEMPORAL_FEATURE_NAMES",
    "Feature",
    "ItemAcclaim",
    "ItemArrays",
    "ItemSchema",
    "ItemSchemaConfig",
    "LabelTrends",
    "Play",
    "SessionFeatureConfig",
    "SessionReference",
    "SessionScaler",
    "SessionState",
    "TrendConfig",
    "activity_features",
    "activity_features_at",
    "fit_reference",
    "history_weights",
    "label_preferences",
    "last_event_us",
    "request_time_features",
    "session_features",
    "session_features_at",
    "temporal_context",
]
