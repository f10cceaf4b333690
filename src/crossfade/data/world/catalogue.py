"""Tracks of the synthetic world: hidden vectors, and the catalogue a recommender sees."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.world.config import GENRES, MOODS, WorldConfig
from crossfade.data.world.names import artist_names, track_titles
from crossfade.types import Bools, Floats, Ints


@dataclass(frozen=True)
class Tracks:
    """What is true of each track, whether or not a catalogue says so.

    Attributes:
        artist: Artist number, shape ``(n_tracks,)``.
        genre: Main genre, ``(n_tracks,)``.
        second_genre: Second genre, -1 where there is none, ``(n_tracks,)``.
        scene: Hidden scene of the artist, ``(n_tracks,)``.
        mood: Share of each mood, rows sum to 1, ``(n_tracks, n_moods)``.
        appeal: How much the track is proposed to anybody, above 0, ``(n_tracks,)``.
        release_day: Day of the log it is released on; negative before the log, ``(n_tracks,)``.
        duration_ms: Length, ``(n_tracks,)``.
        audio: The eight audio features in the order of `AUDIO_FEATURES`, ``(n_tracks, 8)``.
    """

    artist: Ints
    genre: Ints
    second_genre: Ints
    scene: Ints
    mood: Floats
    appeal: Floats
    release_day: Ints
    duration_ms: Ints
    audio: Floats


def make_tracks(config: WorldConfig, rng: np.random.Generator) -> Tracks:
    """Draw all tracks."""
    n_tracks, n_artists, n_genres = config.n_tracks, config.n_artists, config.n_genres
    artist_genre = rng.integers(n_genres, size=n_artists)
    artist_scene = rng.integers(config.n_scenes, size=n_artists)
    fame = rng.lognormal(0.0, 1.0, n_artists)
    # Famous artists have made more tracks, and everybody has made at least a few.
    makers = rng.choice(n_artists, n_tracks, p=(fame + 1) / (fame + 1).sum())

    genre = np.where(
        rng.random(n_tracks) < 0.85, artist_genre[makers], rng.integers(n_genres, size=n_tracks)
    )
    # Every genre keeps an old track, so a listener always finds something to play.
    anchors = rng.permutation(n_tracks)[:n_genres]
    genre[anchors] = np.arange(n_genres)
    second = np.where(rng.random(n_tracks) < 0.3, rng.integers(n_genres, size=n_tracks), -1)
    second[second == genre] = -1

    genre_mood = rng.normal(0.0, 1.0, (n_genres, config.n_moods))
    artist_mood = rng.normal(0.0, 0.7, (n_artists, config.n_moods))
    lean = (
        genre_mood[genre] + artist_mood[makers] + rng.normal(0.0, 0.7, (n_tracks, config.n_moods))
    )
    mood = np.exp(1.5 * lean)
    mood /= mood.sum(axis=1, keepdims=True)

    release_day = -rng.integers(1, 20 * 365, size=n_tracks)
    new = rng.permutation(np.setdiff1d(np.arange(n_tracks), anchors))
    new = new[: round(config.new_release_share * n_tracks)]
    release_day[new] = rng.integers(config.n_days, size=len(new))
    return Tracks(
        artist=makers,
        genre=genre,
        second_genre=second,
        scene=artist_scene[makers],
        mood=mood.astype(np.float32),
        appeal=(fame[makers] * rng.lognormal(0.0, 1.0, n_tracks)).astype(np.float32),
        release_day=release_day,
        duration_ms=(rng.lognormal(np.log(215), 0.3, n_tracks).clip(60, 900) * 1000).astype(
            np.int64
        ),
        audio=_audio(config, genre, mood, rng),
    )


def _audio(config: WorldConfig, genre: Ints, mood: np.ndarray, rng: np.random.Generator) -> Floats:
    """Audio features: each genre has a typical sound, moods bend it, tracks scatter around it."""
    n_features = len(AUDIO_FEATURES)
    genre_sound = rng.normal(0.0, 1.0, (config.n_genres, n_features))
    mood_bend = rng.normal(0.0, 1.5, (config.n_moods, n_features))
    mood_bend -= mood_bend.mean(axis=0)
    scatter = rng.normal(0.0, 0.5, (len(genre), n_features))
    unit = 1 / (1 + np.exp(-(genre_sound[genre] + mood @ mood_bend + scatter)))
    tempo = AUDIO_FEATURES.index("tempo")
    unit[:, tempo] = 60 + 120 * unit[:, tempo]
    return unit.astype(np.float32)


def make_items(config: WorldConfig, tracks: Tracks, rng: np.random.Generator) -> pl.DataFrame:
    """The catalogue: what a shop knows of the tracks, gaps included."""
    n_tracks = config.n_tracks
    artists = pl.Series(artist_names(config.n_artists, rng))
    known_genre = ~_exact_share(n_tracks, config.missing_genre_share, rng)
    known_mood = ~_exact_share(n_tracks, config.missing_mood_share, rng)
    known_audio = ~_exact_share(n_tracks, config.missing_audio_share, rng)
    genres = [
        [GENRES[first]] if second < 0 else [GENRES[first], GENRES[second]]
        for first, second in zip(tracks.genre.tolist(), tracks.second_genre.tolist(), strict=True)
    ]
    moods = [[MOODS[main]] for main in tracks.mood.argmax(axis=1).tolist()]
    width = len(str(n_tracks - 1))
    return pl.DataFrame(
        {
            "item_id": [f"track-{row:0{width}d}" for row in range(n_tracks)],
            "title": track_titles(n_tracks, rng),
            "creator": artists.gather(tracks.artist),
            "creator_id": "artist-" + pl.Series(tracks.artist).cast(pl.String),
            "genres": [x if known else None for x, known in zip(genres, known_genre, strict=True)],
            "moods": [x if known else None for x, known in zip(moods, known_mood, strict=True)],
            "duration_ms": tracks.duration_ms,
            "release_date": [
                config.start + timedelta(days=day) for day in tracks.release_day.tolist()
            ],
            **{
                name: pl.Series(tracks.audio[:, column]).set(pl.Series(~known_audio), None)
                for column, name in enumerate(AUDIO_FEATURES)
            },
        },
        schema_overrides={"genres": pl.List(pl.String), "moods": pl.List(pl.String)},
    )


def _exact_share(n: int, share: float, rng: np.random.Generator) -> Bools:
    """True for exactly the stated share of ``n`` places, chosen at random."""
    chosen = np.zeros(n, dtype=np.bool_)
    chosen[rng.permutation(n)[: round(share * n)]] = True
    return chosen
