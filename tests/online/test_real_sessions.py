"""On real listening sessions live events count as those of the log do."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.online.systems import cut, live

from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import Answer, Ask, LiveSystem

NAME = "thirtymusic-sessions"
N_USERS = 60


@pytest.mark.real
@pytest.mark.slow
def test_the_answer_is_that_of_the_longer_log(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    mapping = load_toml(ImportMapping, Path(__file__).parents[2] / "configs" / f"{NAME}.toml")
    import_table(mapping, tmp_path / NAME, root=real_data(NAME), now=datetime.now(UTC))
    whole = load_dataset(tmp_path / NAME)
    log, moment = cut(whole, 0.95)
    blend = {"fusion": "ridge", "n_earlier_blocks": 0, "max_requests": 200}
    config = HybridConfig(bases={"popularity": {}, "session_knn": {}}, blend=blend)
    model = HybridModel.fit(log, config, seed=1)
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
