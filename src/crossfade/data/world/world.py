"""`make_world`: a data set whose every play has a known reason."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from crossfade.data.dataset import Dataset
from crossfade.data.schema import TIMESTAMP
from crossfade.data.target import Target
from crossfade.data.world.catalogue import Tracks, make_items, make_tracks
from crossfade.data.world.change import Change, make_change
from crossfade.data.world.config import KINDS, REASONS, WorldConfig
from crossfade.data.world.listeners import Listeners, make_listeners
from crossfade.data.world.simulation import DEVICES, Plays, simulate
from crossfade.rng import generator


@dataclass(frozen=True)
class World:
    """A synthetic data set together with the truth behind it.

    Attributes:
        config: How it was made.
        dataset: What a recommender may see. Times are UTC, a play is logged when it ends.
        truth: One row per event, in the order of ``dataset.events``: ``reason`` (see `Reason`),
            ``affinity`` (fit to the listener's taste of that day, 0 to 1) and
            ``skip_probability``.
        listeners: One row per user row: ``kind``, ``community``, ``first_day``, ``peak_hour``
            (UTC), ``drift`` (share of the way to another taste gone by the last day) and the
            log-preferences at both ends, ``genre_start``, ``genre_goal``, ``scene_start`` …. With a
            change of tastes also ``changes`` (whom it befalls) and ``genre_after`` ….
        tracks: One row per item row: ``artist``, ``scene``, ``appeal``, ``release_day``,
            ``genre_vector`` and ``mood_vector`` (both sum to 1), ``audio`` (complete, in the
            order of `AUDIO_FEATURES`).
    """

    config: WorldConfig
    dataset: Dataset
    truth: pl.DataFrame = field(repr=False)
    listeners: pl.DataFrame = field(repr=False)
    tracks: pl.DataFrame = field(repr=False)


def make_world(config: WorldConfig | None = None, seed: int = 0) -> World:
    """Draw a world; equal settings and seeds give equal worlds.

    Args:
        config: Size and character; the default takes a second or two.
        seed: The run's one seed.
    """
    config = config if config is not None else WorldConfig()
    tracks = make_tracks(config, generator(seed, "world.tracks"))
    listeners = make_listeners(config, generator(seed, "world.listeners"))
    change = make_change(config, listeners, generator(seed, "world.change"))
    plays = simulate(config, tracks, listeners, change, generator(seed, "world.plays"))
    width = len(str(config.n_listeners - 1))
    names = [reason.value for reason in REASONS]
    # Padded numbers sort like the numbers themselves, so row 17 is listener 17.
    user_id = [f"listener-{row:0{width}d}" for row in range(config.n_listeners)]
    dataset = Dataset.from_rows(
        _events(plays),
        make_items(config, tracks, generator(seed, "world.items")),
        pl.DataFrame({"user_id": user_id}),
        name="synthetic world",
        target=Target(name="plays and does not skip"),
        friends=_friends(listeners),
    )
    return World(
        config=config,
        dataset=dataset,
        truth=pl.DataFrame(
            {
                "reason": pl.Series(names, dtype=pl.Enum(names)).gather(plays.reason),
                "affinity": plays.affinity,
                "skip_probability": plays.skip_probability,
            }
        ),
        listeners=_listener_frame(listeners, change),
        tracks=_track_frame(config, tracks),
    )


def _events(plays: Plays) -> pl.DataFrame:
    # One string per session, then handed out: a string per play would cost ten times as much.
    session_id = "session-" + pl.Series(np.arange(plays.session.max() + 1)).cast(pl.String)
    return pl.DataFrame(
        {
            "user_row": plays.user_row,
            "item_row": plays.item_row,
            "session_row": plays.session,
            "timestamp": pl.Series(plays.time_us).cast(TIMESTAMP),
            "played_ms": plays.played_ms,
            "skipped": plays.skipped,
            "session_id": session_id.gather(plays.session),
            "context_device": pl.Series(DEVICES).gather(plays.device),
        }
    )


def _friends(listeners: Listeners) -> pl.DataFrame:
    user, slot = np.nonzero(listeners.friends >= 0)
    friend = listeners.friends[user, slot]
    return pl.DataFrame({"user_row": user.astype(np.int32), "friend_row": friend})


def _listener_frame(listeners: Listeners, change: Change | None) -> pl.DataFrame:
    kinds = [kind.name for kind in KINDS]
    start, goal = listeners.taste_start, listeners.taste_goal
    frame = pl.DataFrame(
        {
            "user_row": np.arange(len(listeners.kind), dtype=np.int32),
            "kind": pl.Series(kinds).gather(listeners.kind),
            "community": listeners.community,
            "first_day": listeners.first_day,
            "peak_hour": listeners.peak_hour,
            "drift": listeners.drift,
            **{f"{name}_start": getattr(start, name) for name in ("genre", "scene", "mood")},
            **{f"{name}_goal": getattr(goal, name) for name in ("genre", "scene", "mood")},
        }
    )
    if change is None:
        return frame
    after = {f"{name}_after": getattr(change.taste, name) for name in ("genre", "scene", "mood")}
    return frame.with_columns(changes=pl.Series(change.befallen), **pl.DataFrame(after).to_dict())


def _track_frame(config: WorldConfig, tracks: Tracks) -> pl.DataFrame:
    genre = np.eye(config.n_genres, dtype=np.float32)[tracks.genre]
    second = tracks.second_genre >= 0
    genre[second] *= 0.7
    genre[second, tracks.second_genre[second]] += 0.3
    return pl.DataFrame(
        {
            "item_row": np.arange(config.n_tracks, dtype=np.int32),
            "artist": tracks.artist,
            "scene": tracks.scene,
            "appeal": tracks.appeal,
            "release_day": tracks.release_day,
            "genre_vector": genre,
            "mood_vector": tracks.mood,
            "audio": tracks.audio,
        }
    )
