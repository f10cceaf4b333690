"""The synthetic world is what its description says it is."""

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.world import KINDS, REASONS, Reason, World, WorldConfig, make_world
from crossfade.data.world.memory import Memory
from crossfade.errors import ConfigError


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=3)


@pytest.fixture(scope="module")
def plays(world: World) -> pl.DataFrame:
    """Events with their truth and the kind of their listener."""
    kinds = world.listeners.select("user_row", "kind")
    return world.dataset.events.with_columns(world.truth).join(
        kinds, on="user_row", how="left", maintain_order="left"
    )


def by_kind(frame: pl.DataFrame, value: pl.Expr) -> dict[str, float]:
    return dict(frame.group_by("kind").agg(value.alias("value")).iter_rows())


def test_a_seed_gives_one_world(world: World) -> None:
    again, other = make_world(seed=3), make_world(seed=4)
    assert again.dataset.events.equals(world.dataset.events)
    assert again.dataset.items.equals(world.dataset.items)
    assert again.truth.equals(world.truth)
    assert not other.dataset.events.equals(world.dataset.events)


@pytest.mark.parametrize("wanted", [2_000, 40_000])
def test_the_number_of_plays_is_about_what_was_asked_for(wanted: int) -> None:
    config = WorldConfig(n_plays=wanted, n_listeners=400, n_tracks=300, n_artists=40)
    assert make_world(config).dataset.n_events == pytest.approx(wanted, rel=0.15)


def test_shares_and_reasons_are_probabilities() -> None:
    assert sum(kind.share for kind in KINDS) == pytest.approx(1)
    for kind in KINDS:
        assert len(kind.reasons) == len(REASONS)
        assert sum(kind.reasons) == pytest.approx(1)


def test_listeners_come_in_the_stated_shares(world: World) -> None:
    counts = dict(world.listeners["kind"].value_counts().iter_rows())
    assert counts == {kind.name: round(600 * kind.share) for kind in KINDS}


def test_audio_is_missing_for_exactly_the_stated_share(world: World) -> None:
    missing = world.dataset.items.select(pl.col(AUDIO_FEATURES).is_null())
    assert missing.sum().row(0) == (600,) * 8  # 0.3 of 2,000
    assert missing.select(pl.all_horizontal(AUDIO_FEATURES)).sum().item() == 600


def test_audio_follows_genre_and_mood(world: World) -> None:
    # The part of the audio's variance that main genre and moods explain, by least squares.
    genre, mood = (world.tracks[f"{name}_vector"].to_numpy() for name in ("genre", "mood"))
    causes = np.hstack([genre, mood])
    audio = world.tracks["audio"].to_numpy()
    audio = (audio - audio.mean(axis=0)) / audio.std(axis=0)
    weights = np.linalg.lstsq(causes, audio, rcond=None)[0]
    left = (audio - causes @ weights).var(axis=0)
    assert (left < 0.7).all()  # explained
    assert (left > 0.1).all()  # but not given away


def test_seven_audio_features_are_shares_and_tempo_is_in_beats_per_minute(world: World) -> None:
    audio = world.dataset.items.select(AUDIO_FEATURES).drop_nulls()
    assert audio["tempo"].is_between(60, 180).all()
    assert audio["tempo"].max() > 120  # type: ignore[operator]
    assert audio.drop("tempo").select(pl.all().is_between(0, 1).all()).row(0) == (True,) * 7


def test_explorers_repeat_less_than_loyalists(plays: pl.DataFrame) -> None:
    # Measured over each listener's first 100 plays: more plays alone mean more repeats.
    first = plays.group_by("user_row", "kind", maintain_order=True).head(100)
    users = first.group_by("user_row", "kind").agg(
        (pl.col("item_row").n_unique() / pl.len()).alias("new"), pl.len().alias("n")
    )
    new = by_kind(users.filter(pl.col("n") == 100), pl.col("new").mean())
    assert new["explorer"] > new["loyalist"] + 0.2


def test_bingers_have_the_longest_and_densest_sessions(plays: pl.DataFrame) -> None:
    sessions = plays.group_by("user_row", "kind", "session_row").agg(
        pl.len().alias("n"),
        (pl.col("timestamp").diff().dt.total_seconds() - pl.col("played_ms") / 1000)
        .mean()
        .alias("gap"),
    )
    plays_per_session = by_kind(sessions, pl.col("n").mean())
    idle = by_kind(sessions, pl.col("gap").mean())
    others = [kind.name for kind in KINDS if kind.name != "binger"]
    assert all(plays_per_session["binger"] > 2 * plays_per_session[name] for name in others)
    assert all(idle["binger"] < idle[name] for name in others)


def test_casual_listeners_have_the_fewest_sessions(plays: pl.DataFrame, world: World) -> None:
    n_sessions = by_kind(plays, pl.col("session_row").n_unique())
    n_listeners = by_kind(world.listeners, pl.len())
    rate = {name: n_sessions[name] / n_listeners[name] for name in n_sessions}
    assert min(rate, key=lambda name: rate[name]) == "casual"
    assert rate["casual"] < 0.5 * rate["loyalist"]


def test_a_day_and_a_week_have_their_rhythm(plays: pl.DataFrame) -> None:
    starts = plays.group_by("session_row").agg(pl.col("timestamp").min())["timestamp"]
    hour = np.bincount(starts.dt.hour().to_numpy(), minlength=24)
    assert hour[17:22].sum() > 4 * hour[0:5].sum()
    assert hour[7:9].mean() > 1.2 * hour[11:14].mean()  # a morning peak of its own
    weekday = np.bincount(starts.dt.weekday().to_numpy(), minlength=8)[1:]
    assert weekday[4:6].mean() > 1.2 * weekday[0:3].mean()


def test_every_skip_was_drawn_from_its_true_probability(plays: pl.DataFrame) -> None:
    tenths = plays.group_by((pl.col("skip_probability") * 10).floor().alias("tenth")).agg(
        pl.col("skip_probability").mean().alias("true"),
        pl.col("skipped").mean().alias("seen"),
        pl.len().alias("n"),
    )
    for row in tenths.filter(pl.col("n") > 500).iter_rows(named=True):
        error = (row["true"] * (1 - row["true"]) / row["n"]) ** 0.5
        assert row["seen"] == pytest.approx(row["true"], abs=4 * error)


def test_the_target_is_a_play_that_is_not_skipped(world: World) -> None:
    events = world.dataset.events
    assert ((events["strength"] == 0) == events["skipped"]).all()


def test_truth_stands_beside_its_event(plays: pl.DataFrame, world: World) -> None:
    # Affinity is a logistic function of a sum of three likings on the day of the play, so
    # its log-odds must be linear in them, and only where each truth is at its own event.
    user, item = plays["user_row"].to_numpy(), plays["item_row"].to_numpy()
    progress = plays["timestamp"].dt.ordinal_day().to_numpy() / world.config.n_days
    step = (world.listeners["drift"].to_numpy()[user] * progress)[:, None]

    def taste(name: str) -> np.ndarray:
        start, goal = (world.listeners[f"{name}_{end}"].to_numpy() for end in ("start", "goal"))
        now: np.ndarray = start[user] + step * (goal[user] - start[user])
        return now

    genre = world.tracks["genre_vector"].to_numpy().argmax(axis=1)[item]
    scene, mood = (
        world.tracks["scene"].to_numpy()[item],
        world.tracks["mood_vector"].to_numpy()[item],
    )
    place = np.arange(len(user))
    likings = np.column_stack(
        [
            taste("genre")[place, genre],
            taste("scene")[place, scene],
            (taste("mood") * mood).sum(axis=1),
            np.ones(len(user)),
        ]
    )
    affinity = plays["affinity"].to_numpy().astype(np.float64)

    def unexplained(shift: int) -> float:
        log_odds = np.roll(np.log(affinity / (1 - affinity)), shift)
        weights = np.linalg.lstsq(likings, log_odds, rcond=None)[0]
        return float((log_odds - likings @ weights).var() / log_odds.var())

    assert world.truth.height == world.dataset.n_events
    assert unexplained(0) < 0.001
    assert unexplained(1) > 0.3


def test_taste_drifts_as_far_as_the_setting_says() -> None:
    def moved(drift: float) -> float:
        """Mean distance between the genre shares of a listener's first and last third."""
        world = make_world(WorldConfig(drift=drift, n_plays=60_000, n_listeners=200), seed=5)
        genre = world.tracks["genre_vector"].to_numpy()
        events = world.dataset.events
        third = np.arange(events.height) * 3 // events.height
        share = np.zeros((2, 200, genre.shape[1]))
        for side, part in enumerate((0, 2)):
            np.add.at(
                share[side],
                events["user_row"].to_numpy()[third == part],
                genre[events["item_row"].to_numpy()[third == part]],
            )
        busy = (share.sum(axis=2) > 30).all(axis=0)
        share = share[:, busy] / share[:, busy].sum(axis=2, keepdims=True)
        return float(np.abs(share[0] - share[1]).sum(axis=1).mean())

    assert moved(2.0) > 1.3 * moved(0.0)


def test_nothing_is_played_before_its_release(world: World) -> None:
    events, items = world.dataset.events, world.dataset.items
    released = items["release_date"].gather(events["item_row"])
    assert (events["timestamp"].dt.date() >= released).all()
    new = released.filter(released >= world.config.start)
    assert new.n_unique() > 60


def test_new_releases_are_played_for_being_new(plays: pl.DataFrame, world: World) -> None:
    new = plays.filter(pl.col("reason") == Reason.NEW_RELEASE)
    released = world.dataset.items["release_date"].gather(new["item_row"])
    age = (new["timestamp"].dt.date() - released).dt.total_days()
    assert age.is_between(0, 29).all()


def test_social_plays_follow_an_earlier_play_of_a_friend(world: World, plays: pl.DataFrame) -> None:
    friends = world.dataset.friends
    assert friends is not None
    earlier = plays.select("user_row", "item_row", "timestamp").rename(
        {"user_row": "friend_row", "timestamp": "friend_time"}
    )
    social = plays.with_row_index("place").filter(pl.col("reason") == Reason.SOCIAL)
    first = earlier.group_by("friend_row", "item_row").agg(pl.col("friend_time").min())
    followed = (
        social.join(friends, on="user_row")
        .join(first, on=["friend_row", "item_row"])
        .filter(pl.col("friend_time") < pl.col("timestamp"))
    )
    assert social.height > 1_000
    assert followed["place"].n_unique() == social.height


def test_a_play_that_is_not_over_yet_is_not_remembered() -> None:
    memory = Memory.empty(2)
    memory.remember(np.array([0, 0], np.int32), np.array([7, 8], np.int32), np.array([100, 200]))
    rng = np.random.default_rng(0)
    asking = np.repeat(np.array([[0]], np.int32), 50, axis=1)

    def remembered(before_us: int) -> set[int]:
        return set(memory.recent(asking, np.array([[before_us]]), rng).ravel().tolist())

    assert remembered(201) == {7, 8}
    assert remembered(200) == {7, -1}  # a draw of the later play finds nothing
    assert remembered(100) == {-1}
    assert set(memory.recent(asking + 1, np.array([[999]]), rng).ravel().tolist()) == {-1}


def test_repeats_were_played_before(plays: pl.DataFrame) -> None:
    first = pl.col("timestamp") == pl.col("timestamp").min().over("user_row", "item_row")
    repeats = plays.with_columns(first=first).filter(pl.col("reason") == Reason.REPEAT)
    assert repeats.height > 5_000
    assert not repeats["first"].any()


def test_given_sessions_agree_with_the_thirty_minute_rule(world: World) -> None:
    events = world.dataset.events
    derived = Dataset.from_rows(
        events.drop("session_id", "session_row"),
        world.dataset.items,
        world.dataset.users,
        name="derived",
        target=world.dataset.target,
    ).events
    pairs = pl.DataFrame({"given": events["session_row"], "derived": derived["session_row"]})
    assert pairs.n_unique() == pairs["given"].n_unique() == pairs["derived"].n_unique()


def test_listeners_join_over_time(world: World) -> None:
    first = world.dataset.events.group_by("user_row").agg(pl.col("timestamp").min())
    joined = world.listeners.join(first, on="user_row")
    start = pl.lit(world.config.start).cast(pl.Datetime("us", "UTC"))
    day = (pl.col("timestamp") - start).dt.total_days()
    assert joined.select((day >= pl.col("first_day")).all()).item()
    assert (world.listeners["first_day"] > 0).mean() == pytest.approx(0.25, abs=0.06)


def test_ids_and_rows_agree(world: World) -> None:
    dataset = world.dataset
    assert dataset.name == "synthetic world"
    assert dataset.user_ids.id(17) == "listener-017"
    assert dataset.item_ids.row("track-0042") == 42
    assert dataset.item_ids.ids.is_sorted()
    assert dataset.items["item_id"].equals(dataset.item_ids.ids)


def test_signals_of_every_kind_are_there_and_none_gives_all(world: World) -> None:
    """Popularity, listening together, content and the session each beat chance clearly."""
    dataset = world.dataset
    cut = dataset.events["timestamp"][dataset.n_events * 4 // 5]
    train, test = dataset.before(cut), dataset.events.filter(pl.col("timestamp") >= cut)
    seen = train.interactions().toarray() > 0
    wanted = np.zeros_like(seen)
    liked = test.filter(pl.col("strength") > 0)
    wanted[liked["user_row"].to_numpy(), liked["item_row"].to_numpy()] = True
    wanted &= ~seen
    asking = wanted.any(axis=1) & seen.any(axis=1)

    def hit_rate(scores: np.ndarray) -> float:
        """Share of the ten best new tracks that were then played and liked."""
        scores = np.where(seen, -np.inf, scores)[asking]
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        return float(np.take_along_axis(wanted[asking], best, axis=1).mean())

    taste = seen.astype(np.float64)
    content = np.hstack([world.tracks[f"{name}_vector"].to_numpy() for name in ("genre", "mood")])
    content -= content.mean(axis=0)
    common = np.linalg.eigh(taste @ taste.T)[1][:, -12:]  # the main directions of taste
    chance = hit_rate(np.random.default_rng(0).random(seen.shape))
    popular = hit_rate(np.tile(taste.sum(axis=0), (len(taste), 1)))
    similar = hit_rate(taste @ content @ content.T)
    together = hit_rate(common @ (common.T @ taste))
    assert popular > 3 * chance
    assert similar > 2 * chance
    assert together > 1.3 * popular
    assert together < 0.3


def test_a_session_has_a_genre(plays: pl.DataFrame, world: World) -> None:
    genre = world.tracks["genre_vector"].to_numpy().argmax(axis=1)
    rows = plays.sort("user_row", "timestamp")
    same_user = (rows["user_row"] == rows["user_row"].shift()).fill_null(value=False)
    same_session = (rows["session_row"] == rows["session_row"].shift()).fill_null(value=False)
    played = pl.Series(genre[rows["item_row"].to_numpy()])
    agrees = (played == played.shift()).fill_null(value=False)
    inside = agrees.filter(same_session).mean()
    across = agrees.filter(same_user & ~same_session).mean()
    assert isinstance(inside, float)
    assert isinstance(across, float)
    assert inside > 1.15 * across


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="n_listeners"):
        WorldConfig(n_listeners=1)


@pytest.mark.slow
def test_a_million_plays_come_quickly() -> None:
    world = make_world(WorldConfig.of_size(1_000_000))
    assert world.dataset.n_events == pytest.approx(1_000_000, rel=0.1)
