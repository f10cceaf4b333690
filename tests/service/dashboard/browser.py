"""A service as a process of its own, and Chromium in front of it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where a browser is; None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def serving(registry: Path, folder: Path) -> Iterator[str]:
    """The address of the dashboard of ``crossfade serve --no-keys``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--registry", str(registry), "--no-keys", "--port", str(port)]
    command += ["--database", f"sqlite:///{folder / 'log.db'}"]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from crossfade.cli import main; main()", *command],
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        home = f"http://127.0.0.1:{port}/dashboard/"
        for _ in range(600):
            assert process.poll() is None, (folder / "service.log").read_text()
            try:
                urllib.request.urlopen(home).close()
            except OSError:
                time.sleep(0.05)
            else:
                break
        yield home
    finally:
        process.terminate()
        process.wait(30)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours ``rgb(r, g, b)`` as WCAG 2.2 defines it, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    inside = colour[colour.index("(") + 1 : colour.index(")")]
    parts = [float(part) / 255 for part in inside.split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
