"""What makes a saved system answer as of now, with events that came after its log."""

from crossfade.online.asks import Answer, Ask, Event, Prediction
from crossfade.online.library import Happened, ItemFacts, ItemName, Quality
from crossfade.online.showing import as_event, as_shown
from crossfade.online.system import LiveSystem

__all__ = [
    "Answer",
    "Ask",
    "Event",
    "Happened",
    "ItemFacts",
    "ItemName",
    "LiveSystem",
    "Prediction",
    "Quality",
    "as_event",
    "as_shown",
]
