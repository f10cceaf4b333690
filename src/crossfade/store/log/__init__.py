"""The event log: what users did, what they were shown, and who may ask; rows in a database.

SQLite in one file, or PostgreSQL by URL. SQLAlchemy is imported when a log is opened, not before.
"""

from crossfade.store.log.entries import SECONDS, Answered, Item, Outcome, StoredHead, User
from crossfade.store.log.features import Features
from crossfade.store.log.log import Log
from crossfade.store.log.rows import (
    ApiKey,
    Appended,
    Forgotten,
    Impression,
    ImpressionItem,
    NewEvent,
    Role,
    Shadow,
    StoredEvent,
    StoredReport,
    Tombstone,
)

__all__ = [
    "SECONDS",
    "Answered",
    "ApiKey",
    "Appended",
    "Features",
    "Forgotten",
    "Impression",
    "ImpressionItem",
    "Item",
    "Log",
    "NewEvent",
    "Outcome",
    "Role",
    "Shadow",
    "StoredEvent",
    "StoredHead",
    "StoredReport",
    "Tombstone",
    "User",
]
