"""Listen until told to stop, then finish what is under way."""

import logging
import signal
import sys
from types import FrameType

import uvicorn

from crossfade.service.app import create_app
from crossfade.service.config import ServiceConfig
from crossfade.service.connections import UNHEARD, limited
from crossfade.service.state import Service
from crossfade.service.versions import Source
from crossfade.service.wire import JsonLines
from crossfade.threads import settle

logger = logging.getLogger("crossfade.service")

FILES = 200
"""Files that are open besides connections: the database, bundles, processes."""


def serve(config: ServiceConfig, source: Source) -> None:
    """Run the service; returns once it was asked to end (SIGTERM, SIGINT) and has.

    Raises:
        BundleError: If nothing can serve.
        StoreError: If the log cannot be opened.
    """
    # Threads here wait for disks and processes; the loop shall not wait 5 ms for each of them.
    sys.setswitchinterval(0.0005)
    log_to_stderr()
    make_room(UNHEARD * config.max_connections + FILES)
    service = Service.start(config, source)
    logger.info(
        "version %s serves on http://%s:%d",
        service.versions.current().version,
        config.host,
        config.port,
    )
    app = create_app(service)
    settle()
    # The server raises what ended it once more when it has ended. Left to the system that would end the
    # process in the middle, and what its pools of processes registered would be reported as leaked.
    signal.signal(signal.SIGTERM, _ended)
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        access_log=False,  # a line of our own is written for each request
        log_config=None,
        server_header=False,
        proxy_headers=False,  # whoever wants a caller's address from a header would believe anybody
        http=limited(config, service.answered),
        ws="none",  # there are no web sockets here, and they would be outside of these limits
        timeout_graceful_shutdown=config.shutdown_s,
        timeout_keep_alive=30,
    )


def _ended(number: int, frame: FrameType | None) -> None:
    """Nothing is left to be done for a signal."""


def log_to_stderr() -> None:
    """One JSON object a line, of the service and of what is below it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("crossfade", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


def make_room(n_files: int) -> None:
    """Let so many files be open, as each connection is one and 1,024 a usual limit; say so where they may not."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = n_files if hard == resource.RLIM_INFINITY else min(n_files, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < n_files:
        logger.warning(
            "max_connections may take %d open files, and %d are allowed; lower it, or raise the hard limit "
            "(ulimit -Hn, LimitNOFILE)",
            n_files,
            hard,
        )
