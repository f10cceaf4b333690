"""Every benchmark, one after the other: ``python -m benchmarks``; some: ``… benchmarks audio``."""

import subprocess
import sys

BENCHMARKS = (
    "session_features",
    "import_speed",
    "nmf",
    "evaluation_speed",
    "bases",
    "audio",
    "text_speed",
    "ann",
    "two_tower_speed",
    "content",
    "synthesis",
    "fusion",
    "calibration",
    "guessed_audio",
    "adaptation",
    "context",
    "honesty",
    "reasons",
    "episodes_speed",
    "fusion_speed",
    "bundle_load",
    "serving",
    "lists",
    "live",
    "newest",
    "heads",
    "adapt_log",
    "service",
    "service_memory",
    "monitoring",
    "concept_drift",
    "transfer",
    "membership",
    "batch",
    "two_stage",
)


def main() -> None:
    """Run each in a process of its own, so that none warms another's caches."""
    failed = []
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"=== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
