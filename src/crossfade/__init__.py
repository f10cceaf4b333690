"""A hybrid recommender whose fusion is meta-learned.

    import crossfade as cf

    log = cf.Dataset.build(plays, tracks)  # frames of Polars or pandas
    model = cf.HybridModel.fit(log)
    model.recommend(user="u42", explain=True)

These names are what most people need; everything else is imported from where it lives.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crossfade.version import __version__

if TYPE_CHECKING:
    from crossfade.data import Dataset, Target, load_dataset, save_dataset
    from crossfade.data.world import WorldConfig, make_world
    from crossfade.errors import CrossfadeError
    from crossfade.hybrid import HybridConfig, HybridModel
    from crossfade.meta.experiment import Experiment, evaluate
    from crossfade.meta.recommendation import Recommendation, Recommendations
    from crossfade.meta.serving import Filters
    from crossfade.ranking import RankingConfig

__all__ = [
    "CrossfadeError",
    "Dataset",
    "Experiment",
    "Filters",
    "HybridConfig",
    "HybridModel",
    "RankingConfig",
    "Recommendation",
    "Recommendations",
    "Target",
    "WorldConfig",
    "__version__",
    "evaluate",
    "load_dataset",
    "make_world",
    "save_dataset",
]

_HOMES = {
    "data": ("Dataset", "Target", "load_dataset", "save_dataset"),
    "data.world": ("WorldConfig", "make_world"),
    "errors": ("CrossfadeError",),
    "hybrid": ("HybridConfig", "HybridModel"),
    "meta.experiment": ("Experiment", "evaluate"),
    "meta.recommendation": ("Recommendation", "Recommendations"),
    "meta.serving": ("Filters",),
    "ranking": ("RankingConfig",),
}


def _get(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"crossfade.{home}"), name)
    raise AttributeError(f"module 'crossfade' has no attribute {name!r}")


# On first use: `import crossfade`, and with it every `--help`, stays without torch. Type checkers
# must not see this, or they would let any name pass.
if not TYPE_CHECKING:
    __getattr__ = _get


def __dir__() -> list[str]:
    return __all__
