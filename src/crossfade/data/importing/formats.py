"""The known source formats, by name."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from crossfade.data.importing.goodbooks import goodbooks_plan
from crossfade.data.importing.hetrec import hetrec_plan
from crossfade.data.importing.lastfm_1k import lastfm_1k_plan
from crossfade.data.importing.lastfm_csv import lastfm_csv_plan
from crossfade.data.importing.listenbrainz import listenbrainz_plan
from crossfade.data.importing.movielens import movielens_plan
from crossfade.data.importing.plan import Plan
from crossfade.data.importing.recbole import recbole_plan
from crossfade.data.importing.report import ImportReport
from crossfade.data.importing.run import OnError, run_plan
from crossfade.data.importing.spotify import spotify_plan
from crossfade.data.importing.thirtymusic import thirtymusic_plan
from crossfade.errors import ConfigError

FORMATS: dict[str, Callable[[Path], Plan]] = {
    "spotify-history": spotify_plan,
    "listenbrainz": listenbrainz_plan,
    "lastfm-1k": lastfm_1k_plan,
    "lastfm-csv": lastfm_csv_plan,
    "movielens": movielens_plan,
    "hetrec-lastfm": hetrec_plan,
    "30music": thirtymusic_plan,
    "recbole": recbole_plan,
    "goodbooks": goodbooks_plan,
}
"""Name of each format and what makes a plan from its file or folder."""


def import_source(
    format_name: str, source: Path, to: Path, *, now: datetime, on_error: OnError = "fail"
) -> ImportReport:
    """Import files of a known format.

    Args:
        format_name: One of `FORMATS`.
        source: The file or folder, unpacked.
        to: Directory of the data set to write.
        now: The clock; later times are faults.
        on_error: ``"fail"`` or ``"skip"``, see `run_plan`.

    Raises:
        ConfigError: If there is no such format.
        DataError: If the files are not there, or with every problem found, counted.
        BundleError: If the place holds something else or the disk refuses.
    """
    if format_name not in FORMATS:
        raise ConfigError(
            f'format "{format_name}" is unknown; choose one of {", ".join(FORMATS)}, or table'
        )
    return run_plan(
        FORMATS[format_name](source), to, now=now, on_error=on_error, origin=format_name
    )
