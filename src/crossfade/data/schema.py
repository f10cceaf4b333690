"""The event contract: which columns exist, with which types, and which are required."""

import polars as pl

AUDIO_FEATURES = (
    "energy",
    "valence",
    "danceability",
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
)
"""Tempo is in beats per minute, the other seven lie in [0, 1]."""

TIMESTAMP = pl.Datetime("us", "UTC")

EVENT_COLUMNS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "timestamp": TIMESTAMP,
    "event": pl.String(),
    "value": pl.Float32(),
    "played_ms": pl.Int64(),
    "skipped": pl.Boolean(),
    "session_id": pl.String(),
}
"""Known event columns. Only ``user_id`` and ``item_id`` are required, ``timestamp`` for
timed protocols. Columns named ``context_*`` are kept as they are; others are refused."""

ITEM_COLUMNS: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "title": pl.String(),
    "creator": pl.String(),
    "creator_id": pl.String(),
    "collection": pl.String(),
    "genres": pl.List(pl.String()),
    "moods": pl.List(pl.String()),
    "duration_ms": pl.Int64(),
    "release_date": pl.Date(),
    **dict.fromkeys(AUDIO_FEATURES, pl.Float32()),
    # A completed catalogue says of each audio value how sure it is and whether it was measured.
    **{f"{name}_sigma": pl.Float32() for name in AUDIO_FEATURES},
    **{f"{name}_source": pl.String() for name in AUDIO_FEATURES},
}
"""Known item columns; further ones (acclaim, snapshot popularity) are kept but never
become training inputs by themselves."""

TAGGING_COLUMNS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "tag": pl.String(),
    "timestamp": TIMESTAMP,
}
"""Tags that users put on items. A user's own tags are evidence of their own plays, so
they stay apart from the catalogue."""

FRIEND_COLUMNS: dict[str, pl.DataType] = {"user_id": pl.String(), "friend_id": pl.String()}

EVENT_KINDS = (
    "play",
    "like",
    "dislike",
    "skip",
    "save",
    "rating",
    "purchase",
    "view",
)
PLAY, SKIP = "play", "skip"
NEGATIVE_KINDS = ("dislike", SKIP)
