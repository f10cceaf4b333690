"""Settings of the service."""

from typing import Self

from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.online import HeadConfig

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServiceConfig(Settings):
    """How the service listens, whom it lets in, and how much it takes on."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; the default is reached from this machine alone. TLS is left to a proxy.",
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port; 0 takes any free one.")
    database: str = Field(
        "sqlite:///crossfade.db",
        description="URL of the event log: `sqlite:///FILE` or `postgresql+psycopg://…`.",
    )
    keys: bool = Field(
        True,
        description="Whether callers need an API key (`crossfade keys add`). "
        "Without them only a loopback address may be listened on.",
    )
    rate_per_s: float = Field(
        500, gt=0, description="Requests per second that one key may make, in the long run."
    )
    burst: int = Field(1000, ge=1, description="Requests that one key may make at once.")
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Largest body of a request.")
    body_timeout_s: float = Field(
        10,
        gt=0,
        description="Longest that the head of a request and then its body may take to come in, "
        "and an answer to be taken in.",
    )
    max_connections: int = Field(
        2_000, ge=1, description="Connections at once; what comes on top is told to come again."
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins whose pages may ask from a browser; none by default."
    )
    workers: int = Field(
        1,
        ge=0,
        le=64,
        description="Processes that make lists, beside the one that serves: as many as there are cores but one. "
        "0 makes lists in the serving process, which takes less memory and is slower under load.",
    )
    at_once: int = Field(
        32, ge=1, description="Most requests that one worker answers together, in one pass."
    )
    max_waiting: int = Field(
        1_000, ge=1, description="Requests that may wait for an answer; what comes on top gets 503."
    )
    max_people: int = Field(
        100_000, ge=1, description="People and sessions whose recent events are kept in memory."
    )
    max_events: int = Field(
        500,
        ge=1,
        description="Newest events of a person that a list may rest on, besides the bundle's.",
    )
    max_kept_events: int = Field(
        200_000,
        ge=1,
        description="Events of all people together that are kept in memory, about 100 bytes each; of who was not "
        "asked about for longest they are read from the database again.",
    )
    keep_features: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of lists whose context features are kept beside the impression, drawn by request id. A "
        "monitor sees a feature move in a few hundred lists; a tenth of a service's is that many within days, "
        "and costs a tenth of the room and time.",
    )
    adapt: bool = Field(
        False,
        description="Whether lists adapt to each person's reactions soon after they come in; "
        "worth it where people listen in sessions.",
    )
    heads: HeadConfig = Field(HeadConfig(), description="How, and when an adaptation counts.")
    adapt_held_back: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each person's days, drawn by chance, on which lists do without their head: only so "
        "can a monitor say what adaptation gains.",
    )
    max_adapting: int = Field(
        1_000, ge=1, description="People who may wait for that; reactions of more are passed over."
    )
    adapt_share: float = Field(
        0.25, gt=0, le=1, description="Share of its time that the thread for it may work."
    )
    reload_s: float = Field(
        5,
        gt=0,
        description="How often to look whether another version was promoted and which experiments run.",
    )
    shutdown_s: int = Field(
        20,
        ge=1,
        description="How long requests under way may still take when the service is stopped.",
    )

    @model_validator(mode="after")
    def _nobody_is_let_in_by_accident(self) -> Self:
        if not self.keys and self.host not in LOOPBACK:
            raise ValueError(
                f"without keys the service listens on a loopback address only, not on {self.host}; "
                "leave keys on, or host at 127.0.0.1"
            )
        return self
