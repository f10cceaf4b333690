"""Which schema a log has, looked at from outside: nothing is made, changed or brought up to date."""

import os
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from crossfade.errors import StoreError
from crossfade.store.log.database import cause_of, parsed_url, postgres
from crossfade.store.log.migrations import STEPS


def schema_of(url: str) -> tuple[int, int]:
    """The schema of a log, and the newest that is known here.

    Args:
        url: As of `Log.open`.

    Returns:
        The first is 0 where there is no log yet.

    Raises:
        ConfigError: If the URL is none of a log.
        MissingExtraError: If PostgreSQL is asked for and its driver is not installed.
        StoreError: If it cannot be read, or could not be made.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() == "sqlite":
        file = Path(parsed.database or "")
        if not file.exists():
            if not os.access(file.parent, os.W_OK):
                raise StoreError(f"{file}: cannot be made; check that its folder may be written")
            return 0, len(STEPS)
        place = str(file)
        engine = create_engine(f"sqlite:///{file.resolve().as_uri()}?mode=ro&uri=true")
    else:
        place = parsed.set(query={}).render_as_string(hide_password=True)
        engine = postgres(parsed)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("schema_version"):
                return 0, len(STEPS)
            return connection.scalar(text("SELECT version FROM schema_version")) or 0, len(STEPS)
    except SQLAlchemyError as error:
        cause, mend = cause_of(error)
        raise StoreError(f"{place}: the event log cannot be read ({cause}); {mend}") from error
    finally:
        engine.dispose()
