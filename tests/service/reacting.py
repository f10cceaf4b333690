"""Somebody who asks for lists and reacts to them, and the head that comes of it."""

from dataclasses import replace
from typing import Any

import numpy as np
from tests.service.conftest import Running

from crossfade.online import Head
from crossfade.service.people import Who
from crossfade.service.state import now_us
from crossfade.store.log import StoredHead

EASY = {"min_events": 2, "evidence": 0, "deadline_ms": 1e9}
USER = "listener-00"
WHO = Who(user_id=USER)


def asked(running: Running, **more: object) -> dict[str, Any]:
    answer = running.read.post("/v1/recommendations", json={"user_id": USER, "k": 10, **more})
    told: dict[str, Any] = answer.json()
    return told


def ids(told: dict[str, Any]) -> list[str]:
    return [line["item_id"] for line in told["items"]]


def react(running: Running, item_id: str, event: str = "like", user_id: str = USER) -> None:
    said = {"user_id": user_id, "item_id": item_id, "event": event}
    done = running.write.post("/v1/events", json=said)
    assert done.status_code == 201
    assert running.service.heads.settled(10)


def follow(running: Running, n: int = 8) -> None:
    """Like again and again what is last of twenty, and skip what is first."""
    for _ in range(n):
        listed = ids(asked(running, k=20))
        react(running, listed[-1])
        react(running, listed[0], "skip")


def counting(running: Running, tilt: float = 0.9) -> Head:
    """A head that counts, as if it had been learned: put where the service finds it."""
    live = running.service.versions.current()
    head = Head.empty(live.version, running.model.blend.labels, 0)
    own = np.linspace(-tilt, tilt, len(head.bases))
    return replace(head, expires_us=now_us() + 10**12, tilt=own, wins=True)


def put(running: Running, head: Head, **who: str) -> None:
    row = StoredHead(
        head.version, now_us(), head.expires_us, head.to_json(), **(who or {"user_id": USER})
    )
    assert running.service.log.heads.put(row)
