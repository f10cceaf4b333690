"""Who may do what, and how often."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from crossfade.service.faults import Refusal
from crossfade.store.log import ApiKey

Role = Literal["read", "write", "admin"]

ROLES: tuple[Role, ...] = ("read", "write", "admin")
"""Each may do what those before it may."""

REMEMBERED_S = 5.0
"""How long a key that was looked up is taken for good; so long a revoked one may still be used."""

MOST = 10_000
"""Keys and callers that are remembered at once."""

WRONG_PER_S, WRONG_AT_ONCE = 1.0, 20
"""Wrong keys that one address may try."""


@dataclass
class _Bucket:
    tokens: float
    at_s: float


class Rates:
    """A token bucket for each caller.

    Args:
        per_s: Tokens that come back each second.
        burst: Tokens of a caller who has not come for a while.
        clock: Seconds that never go back.
    """

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, caller: str, cost: float = 1.0) -> float:
        """Take ``cost`` tokens; seconds until there will be enough, 0 where there were."""
        now = self._clock()
        bucket = self._buckets.setdefault(caller, _Bucket(self._burst, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at_s) * self._per_s)
        bucket.at_s = now
        if bucket.tokens >= cost:
            bucket.tokens -= cost
            return 0.0
        return (cost - bucket.tokens) / self._per_s


def _presented(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None


def _host(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


class Doorkeeper:
    """Lets callers in by their keys, as far as their roles and rates go.

    Args:
        look_up: From what was presented to a key that is good now, or None. None instead of this
            lets everybody in as admin.
        rates: Of callers.
        clock: Seconds that never go back.
        presented: What a request presents; None where it presents nothing.
    """

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[ApiKey | None]] | None,
        rates: Rates,
        clock: Callable[[], float] = time.monotonic,
        presented: Callable[[Request], str | None] = _presented,
    ) -> None:
        self._look_up, self.rates, self._clock = look_up, rates, clock
        self._presented = presented
        self._wrong = Rates(WRONG_PER_S, WRONG_AT_ONCE, clock)
        self._known: OrderedDict[str, tuple[ApiKey, float]] = OrderedDict()

    @property
    def open(self) -> bool:
        """Whether everybody is let in."""
        return self._look_up is None

    async def admit(self, request: Request, role: Role) -> None:
        """Let a request pass, or raise `Refusal`; its state then says who ``caller`` is, of which ``role``."""
        request.state.caller, request.state.role = _host(request), ROLES[-1]
        if not self.open:
            key = await self.key_of(request, self._presented(request))
            if ROLES.index(key.role) < ROLES.index(role):
                raise Refusal(403, f"this needs a key with the role {role}, yours has {key.role}")
            request.state.caller, request.state.role = key.id, key.role
        wait = self.rates.wait_s(request.state.caller)
        if wait:
            raise Refusal(429, "more requests than this key may make; come again", 1 + int(wait))

    async def key_of(self, request: Request, presented: str | None) -> ApiKey:
        """The key that is good now, or raise `Refusal`: 401, or 429 for who tries too many."""
        key = await self._key(presented) if presented else None
        if key is None:
            wait = self._wrong.wait_s(_host(request))
            if wait:
                raise Refusal(429, "too many wrong keys from this address", 1 + int(wait))
            raise Refusal(401, "a valid key is needed: send the header Authorization: Bearer KEY")
        return key

    async def _key(self, presented: str) -> ApiKey | None:
        now = self._clock()
        known = self._known.get(presented)
        if known is not None and now - known[1] < REMEMBERED_S:
            return known[0]
        assert self._look_up is not None
        key = await self._look_up(presented)
        if key is None:
            self._known.pop(presented, None)
            return None
        self._known[presented] = (key, now)
        self._known.move_to_end(presented)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return key
