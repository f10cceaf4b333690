"""What makes a saved system answer as of now, with events that came after its log."""

from crossfade.online.asks import Adaptation, Answer, Ask, Event, Outcome, Prediction
from crossfade.online.heads import Head, HeadConfig
from crossfade.online.library import Happened, ItemFacts, ItemName, Quality
from crossfade.online.showing import as_event, as_shown
from crossfade.online.system import LiveSystem

__all__ = [
    "Adaptation",
    "Answer",
    "Ask",
    "Event",
    "Happened",
    "Head",
    "HeadConfig",
    "ItemFacts",
    "ItemName",
    "LiveSystem",
    "Outcome",
    "Prediction",
    "Quality",
    "as_event",
    "as_shown",
]
