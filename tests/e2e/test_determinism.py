"""A seed gives the same answers in another process, on other cores, under another hash seed."""

import os
import subprocess
import sys

import pytest

FIT_AND_ASK = """
import json
from dataclasses import asdict
from crossfade.data.splits import make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation import to_json
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.experiment import run_experiment

data = make_world(WorldConfig(n_listeners=150, n_tracks=300, n_artists=60, n_plays=12_000), seed=5).dataset
config = HybridConfig(blend={"fusion_settings": {"auto": {"n_folds": 2}}})
found = run_experiment(data, config.bases, config.blend, config.protocol, seed=5)
learned = found.learned.blend(found.fusion)  # learned once: fitting would learn the same again
model = HybridModel.fit(data, config, seed=5, choice=found.choice, learned=learned)
lists = [[asdict(line) for line in model.recommend(user=user)] for user in data.user_ids.ids[:20]]
print(json.dumps([lists, vars(model.blend.choice), to_json(found.evaluation)], sort_keys=True))
"""


def answers(**environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", FIT_AND_ASK],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.slow
def test_cores_processes_and_hash_seeds_change_no_answer() -> None:
    one = dict.fromkeys(
        ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
    )
    two = dict.fromkeys(one, "2")
    first = answers(**one, PYTHONHASHSEED="0")
    assert len(first) > 10_000
    assert answers(**two, PYTHONHASHSEED="7") == first
