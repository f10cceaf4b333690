"""Between a live system and the event log: what it answered, and what it is told."""

from crossfade.online.asks import Answer, Event
from crossfade.store.log import Impression, ImpressionItem, NewEvent, Shadow


def as_event(event: NewEvent) -> Event:
    """What a live system looks at in an event of the log."""
    return Event(
        event.item_id,
        event.time_us,
        event.event,
        event.value,
        event.played_ms,
        event.skipped,
        event.session_id,
        event.context,
    )


def as_shown(
    answer: Answer,
    request_id: str,
    version: str,
    time_us: int,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    experiment: str | None = None,
    arm: str | None = None,
    adapts: float | None = None,
) -> Impression:
    """The impression of an answer, with the chances it was shown with.

    ``adapts`` is the chance that a head which counts was not withheld; None where chance did not decide
    that, and then nothing is said of the list that was not shown.
    """
    items = [
        ImpressionItem(
            one.item_id, one.rank, one.score, one.probability, one.propensity, one.weights
        )
        for one in answer.recommendations
    ]
    shadow = None
    if answer.shadow is not None and adapts is not None:
        applied = answer.adaptation_applied
        shadow = Shadow(answer.shadow, applied, adapts if applied else 1 - adapts)
    return Impression(
        request_id=request_id,
        time_us=time_us,
        version=version,
        method=answer.method,
        items=items,
        user_id=user_id,
        session_id=session_id,
        experiment=experiment,
        arm=arm,
        features=answer.features,
        shadow=shadow,
    )
