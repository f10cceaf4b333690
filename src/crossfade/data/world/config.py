"""Settings of the synthetic world, and what makes its five kinds of listeners different."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from crossfade.config import Field, Settings

GENRES = (
    "ambient", "blues", "classical", "disco", "electronic", "folk", "hip hop", "jazz",
    "latin", "metal", "pop", "punk", "reggae", "rock", "soul", "techno",
)  # fmt: skip
MOODS = ("calm", "dark", "dreamy", "energetic", "happy", "melancholic", "romantic", "tense")


class Reason(StrEnum):
    """Why a play happened."""

    FAVOURITE = "favourite"
    REPEAT = "repeat"
    EXPLORE = "explore"
    NEW_RELEASE = "new_release"
    SOCIAL = "social"
    MOOD = "mood"


REASONS = tuple(Reason)


@dataclass(frozen=True)
class Kind:
    """Traits of one kind of listener.

    Attributes:
        name: What it is called in `World.listeners`.
        share: Share of the population.
        sessions: Sessions per day, relative to the other kinds.
        plays_per_session: Mean number of plays in one session.
        pause_share: Share of plays followed by a pause of some minutes.
        hour_concentration: Von Mises concentration of listening hours; larger is more regular.
        taste_sharpness: How strongly taste differs between genres and scenes.
        drift: How far taste moves over the whole time, 0 (not at all) to 1 (all of it).
        skippiness: Added to the log-odds of a skip.
        friends: Mean number of friends.
        reasons: Probability of each `Reason`, in the order of `REASONS`.
    """

    name: str
    share: float
    sessions: float
    plays_per_session: float
    pause_share: float
    hour_concentration: float
    taste_sharpness: float
    drift: float
    skippiness: float
    friends: float
    reasons: tuple[float, float, float, float, float, float]


KINDS = (
    Kind("explorer", 0.20, 0.50, 8.0, 0.05, 2.0, 1.0, 0.5, 0.3, 4.0, (0.10, 0.04, 0.46, 0.18, 0.04, 0.18)),
    Kind("loyalist", 0.25, 0.60, 9.0, 0.05, 6.0, 1.8, 0.1, -0.4, 3.0, (0.58, 0.20, 0.05, 0.04, 0.01, 0.12)),
    Kind("casual", 0.25, 0.12, 5.0, 0.15, 1.0, 1.0, 0.2, 0.0, 3.0, (0.30, 0.10, 0.12, 0.08, 0.05, 0.35)),
    Kind("binger", 0.15, 0.40, 28.0, 0.00, 1.5, 1.3, 0.3, 0.1, 3.0, (0.28, 0.20, 0.14, 0.08, 0.02, 0.28)),
    Kind("social", 0.15, 0.40, 8.0, 0.10, 2.5, 1.2, 0.3, 0.0, 10.0, (0.16, 0.08, 0.10, 0.10, 0.44, 0.12)),
)  # fmt: skip
"""Shares sum to 1, and so do the reasons of each kind."""


class TasteChange(Settings):
    """A time at which listeners come to like something else, and what they do not like any more they drop."""

    day: int = Field(ge=0, description="Day of the log on which it begins, from 0.")
    over_days: int = Field(
        1,
        ge=1,
        description="Days it takes: with 1 it is sudden, with more it comes in equal steps.",
    )
    share: float = Field(1.0, ge=0, le=1, description="Share of the listeners whom it befalls.")
    what: Literal["tastes", "genres"] = Field(
        "tastes",
        description="tastes: everybody gets a taste of their own anew, common only to their community. genres: "
        "whoever liked one genre now likes another, the same for all, so other genres are popular.",
    )


class WorldConfig(Settings):
    """Size and character of the synthetic world."""

    n_listeners: int = Field(600, ge=10, description="Number of listeners.")
    n_tracks: int = Field(2_000, ge=50, description="Number of tracks.")
    n_artists: int = Field(250, ge=10, description="Number of artists.")
    n_plays: int = Field(
        100_000,
        ge=100,
        description="Expected number of plays; the world hits it within a few percent.",
    )
    n_days: int = Field(120, ge=7, description="Days the log covers.")
    start: date = Field(date(2024, 1, 1), description="First day of the log, UTC.")
    n_genres: int = Field(12, ge=2, le=len(GENRES), description="Number of genres.")
    n_moods: int = Field(6, ge=2, le=len(MOODS), description="Number of moods.")
    n_scenes: int = Field(
        8,
        ge=1,
        description="Scenes an artist can belong to; they decide taste but stand in no catalogue column, "
        "so only listening together reveals them.",
    )
    n_communities: int = Field(
        10,
        ge=1,
        description="Groups of listeners with a common taste; most friends are of one group.",
    )
    missing_audio_share: float = Field(
        0.3, ge=0, le=1, description="Share of tracks without audio features."
    )
    missing_mood_share: float = Field(0.2, ge=0, le=1, description="Share of tracks without moods.")
    missing_genre_share: float = Field(
        0.03, ge=0, le=1, description="Share of tracks without genres."
    )
    new_release_share: float = Field(
        0.25, ge=0, le=0.9, description="Share of tracks released while the log runs."
    )
    late_joiner_share: float = Field(
        0.25, ge=0, le=1, description="Share of listeners who join while the log runs."
    )
    drift: float = Field(
        1.0, ge=0, le=2, description="Multiplies the taste drift of every kind; 0 switches it off."
    )
    taste_change: TasteChange | None = Field(
        None, description="A change of tastes at a declared time; unset: none beside the drift."
    )

    @classmethod
    def of_size(cls, n_plays: int) -> "WorldConfig":
        """A world for benchmarks whose people and catalogue grow with its plays.

        Args:
            n_plays: Wanted number of plays, 10,000 or more.
        """
        return cls(
            n_plays=n_plays,
            n_listeners=max(100, n_plays // 500),
            n_tracks=max(1_000, n_plays // 400),
            n_artists=max(100, n_plays // 4_000),
            n_days=180,
        )
