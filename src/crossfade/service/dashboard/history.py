"""What somebody did, and whom their lists trusted over time."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from crossfade.service.dashboard.charts import mean_weights, segments
from crossfade.service.dashboard.listeners import Somebody
from crossfade.service.dashboard.pages import Looks, Running, read, render
from crossfade.service.lists import ask_of
from crossfade.service.state import now_us

router = APIRouter(dependencies=[Looks])

N_LISTS, N_EVENTS = 40, 100


@router.get("/history")
async def history(request: Request, service: Running) -> Response:
    """Weights of the newest lists, and the newest events."""
    asked = read(Somebody, request.query_params.multi_items())
    user_id, session_id = asked.user_id, asked.session_id
    live = service.versions.current()
    shown = await asyncio.to_thread(
        lambda: service.log.impressions_of(user_id=user_id, session_id=session_id, limit=N_LISTS)
    )
    make = ask_of(service, asked.request(), now_us())
    events = await asyncio.to_thread(lambda: live.history(make(live), N_EVENTS))
    stored = await asyncio.to_thread(
        lambda: service.log.events_of(
            user_id=user_id, session_id=session_id, limit=service.config.max_events, newest=True
        )
    )
    kinds = {(one.event.item_id, one.event.time_us): one.event.event for one in stored}
    lists = [
        (one, mean_weights(item.weights for item in one.items))
        for one in reversed(shown)
        if any(item.weights for item in one.items)
    ]
    bases = [*live.bases()]
    # Lists of older versions may have been made of other bases.
    bases += dict.fromkeys(label for _, w in lists for label in w if label not in bases)
    return render(
        request,
        "history.html.j2",
        asked=asked,
        bases=bases,
        lists=[(one, weights, segments(bases, weights)) for one, weights in lists],
        events=[(one, kinds.get((one.item.item_id, one.time_us or -1))) for one in events],
        n_most=N_EVENTS,
    )
