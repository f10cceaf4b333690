"""What makes a saved system answer as of now, with events that came after its log."""

from crossfade.online.asks import Answer, Ask, Event, Prediction
from crossfade.online.showing import as_event, as_shown
from crossfade.online.system import LiveSystem

__all__ = ["Answer", "Ask", "Event", "LiveSystem", "Prediction", "as_event", "as_shown"]
