"""The reference page of item features, made from their dictionary."""

from crossfade.features.acclaim import ACCLAIM_FEATURES
from crossfade.features.dictionary import table
from crossfade.features.items import ITEM_FEATURES


def item_features_page() -> str:
    """The page, ready to be written to ``docs/``."""
    return "\n".join(
        [
            "# Item features",
            "",
            "This page is made from `ITEM_FEATURES` in `crossfade.features.items` and `ACCLAIM_FEATURES` "
            "in `crossfade.features.acclaim`; a test compares them.",
            "",
            "## Content",
            "",
            "What a model may know of an item at any time, played or not. Missing is NaN. Scales are "
            "fitted on the items known before the cut. Popularity, ratings, sales ranks and any other "
            "column that the event contract does not name are never read.",
            "",
            *table(ITEM_FEATURES),
            "",
            "Creators, genres and moods are rows of a table fitted on the same items. Row 0 stands for "
            "labels that too few of them carry; an item without labels has none, which is another thing. "
            "Genres and moods are compared in lower case without space around them, creators by their id "
            "where there is one and else by name.",
            "",
            "## Acclaim as of a time",
            "",
            "The rating block of the documented two-tower network, counted from the log. It is no "
            "content: the default network does not read it.",
            "",
            *table(ACCLAIM_FEATURES),
            "",
        ]
    )
