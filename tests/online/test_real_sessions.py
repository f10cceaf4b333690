"""On real listening sessions live events count as those of the log do, and lists follow a session as it goes."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from tests.online.systems import cut, live

from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.evaluation.statistics import bootstrap
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import Answer, Ask, Event, LiveSystem
from crossfade.rng import generator

NAME = "thirtymusic-sessions"
N_USERS, N_SESSIONS, MOST = 60, 150, 6

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Replay(NamedTuple):
    """A log, the whole it is the beginning of, and a system that learned from it."""

    whole: Dataset
    log: Dataset
    moment: int
    model: HybridModel


@pytest.fixture(scope="module")
def replay(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Replay:
    folder = tmp_path_factory.mktemp("sessions")
    mapping = load_toml(ImportMapping, Path(__file__).parents[2] / "configs" / f"{NAME}.toml")
    import_table(mapping, folder / NAME, root=real_data(NAME), now=datetime.now(UTC))
    whole = load_dataset(folder / NAME)
    log, moment = cut(whole, 0.95)
    blend = {"fusion": "ridge", "n_earlier_blocks": 0, "max_requests": 200}
    config = HybridConfig(bases={"popularity": {}, "session_knn": {}}, blend=blend)
    return Replay(whole, log, moment, HybridModel.fit(log, config, seed=1))


def test_the_answer_is_that_of_the_longer_log(replay: Replay) -> None:
    whole, log, moment, model = replay
    late = np.unique(whole.events["user_row"].to_numpy()[log.n_events :])[:: 1 + 500 // N_USERS]
    users = whole.user_ids.decode(late[:N_USERS])
    events = [live(whole, user, moment) for user in users]
    now_us = [one[-1].time_us for one in events]  # the last play is what is asked about
    asks = [
        Ask(user, theirs, now_us=now)
        for user, theirs, now in zip(users, events, now_us, strict=True)
    ]
    answers = LiveSystem(model).answer(asks)
    assert len(answers) > N_USERS // 2
    for user, now, answer in zip(users, now_us, answers, strict=True):
        query = whole.queries([whole.user_ids.row(user)], np.array([now]))
        (served,) = model.lists.serve(query, 10, model.config.ranking)
        assert isinstance(answer, Answer)
        assert answer.recommendations == model.lists.lines(query, served)
        assert answer.n_history == len(query.item_row)


def test_each_play_of_a_session_changes_the_next_list_for_the_better(replay: Replay) -> None:
    system = LiveSystem(replay.model)
    changed, gains = list[bool](), list[np.floating]()
    for plays in sessions_after(replay):
        asks, coming = list[Ask](), list[set[str]]()
        for n, play in enumerate(plays[1:MOST], start=1):
            # Before each play but the first: with the play before it, and as if that had not come in.
            for events in (plays[:n], plays[: n - 1]):
                asks.append(Ask(None, events, k=20, now_us=play.time_us))
            coming.append({one.item_id for one in plays[n:]})
        lists = [listed(answer) for answer in system.answer(asks)]
        pairs = list(zip(lists[::2], lists[1::2], strict=True))
        changed += [now != before for now, before in pairs]
        gains.append(
            np.mean(
                [
                    len(wanted & set(now)) - len(wanted & set(before))
                    for wanted, (now, before) in zip(coming, pairs, strict=True)
                ]
            )
        )
    assert len(gains) == N_SESSIONS
    assert np.mean(changed) > 0.9
    gain = bootstrap(np.array(gains)[:, None], generator(0, "sessions"))
    assert gain.low[0] > 0, gain


def sessions_after(replay: Replay) -> list[list[Event]]:
    """Plays of sessions that begin after the log, three or more each, in an order drawn by chance."""
    events = replay.whole.with_ids().with_columns(
        session=replay.whole.events["session_row"], time_us=pl.col("timestamp").to_physical()
    )
    begun = events.group_by("session").agg(pl.col("time_us").min().alias("begins"), pl.len())
    late = begun.filter((pl.col("begins") >= replay.moment) & (pl.col("len") >= 3)).sort("session")
    drawn = generator(0, "sessions").permutation(late["session"].to_numpy())[:N_SESSIONS]
    mine = events.sort("time_us").partition_by("session", as_dict=True)
    return [
        [
            Event(**one)
            for one in mine[session,].select("item_id", "time_us", "session_id").to_dicts()
        ]
        for session in drawn.tolist()
    ]


def listed(answer: object) -> list[str]:
    assert isinstance(answer, Answer), answer
    return [line.item_id for line in answer.recommendations]
