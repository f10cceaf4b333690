"""The data dictionary, the reference page and the source's names agree."""

from pathlib import Path

from crossfade.features import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.dictionary import SESSION_FEATURES, TEMPORAL_FEATURES, markdown

PAGE = Path(__file__).parents[2] / "docs/reference/session-features.md"


def test_the_eighteen_keep_their_published_names() -> None:
    assert SESSION_FEATURE_NAMES == (
        "total_sessions",
        "avg_session_length",
        "discovery_rate_per_active_week",
        "exploration_score",
        "novelty_seeking",
        "repeat_rate",
        "skip_rate",
        "genre_diversity",
        "temporal_consistency",
        "mainstream_score",
        "early_adopter_score",
        "plays_per_day",
        "active_days",
        "longest_streak_percentile",
        "session_density",
        "listening_intensity",
        "user_type_explorer",
        "user_type_loyalist",
    )


def test_every_feature_is_described() -> None:
    names = SESSION_FEATURE_NAMES + TEMPORAL_FEATURE_NAMES
    assert len(set(names)) == len(names)
    for feature in SESSION_FEATURES + TEMPORAL_FEATURES:
        assert all((feature.formula, feature.unit, feature.window, feature.missing)), feature.name
        assert feature.low < feature.high


def test_the_reference_page_is_made_from_the_dictionary() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "write crossfade.features.dictionary.markdown() to docs/reference/session-features.md"
    )
