"""Everything that can be set about a system, and the bases it has by default."""

from typing import Annotated, Any, Self

from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.data import Target
from crossfade.data.splits import ProtocolConfig
from crossfade.errors import ConfigError
from crossfade.evaluation.config import EvaluationConfig
from crossfade.explain.reasons import ReasonConfig
from crossfade.explain.sentences import SentenceConfig
from crossfade.explain.words import GENERIC, load_words
from crossfade.meta.blending import BlendConfig
from crossfade.meta.devices import bases_on_device, fusions_on_device
from crossfade.ranking import RankingConfig
from crossfade.store.cache import CacheConfig
from crossfade.training.config import DeviceName

DEFAULT_BASES: dict[str, dict[str, Any]] = {
    "popularity": {"model": "popularity", "half_life_days": 90.0},
    "trending": {"model": "popularity", "half_life_days": 7.0},
    "all_time": {"model": "popularity", "half_life_days": None},
    "item_knn": {"model": "item_knn"},
    "ease": {"model": "ease"},
    "nmf": {"model": "nmf"},
    "ials": {"model": "ials"},
    "session_knn": {"model": "session_knn"},
    "content_knn": {"model": "content_knn"},
    "genre_item_knn": {"model": "genre_item_knn"},
}


COMPARED = ("static", "rrf", "combsum", "hard_selection", "ridge", "fwls")
"""Fusion models that are fitted in seconds; the others are named in ``compare``, or by ``--fusion``."""

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Labels name files in a bundle and columns in reports."""


class ExplainConfig(Settings):
    """How reasons are found and said."""

    pack: str = Field(
        GENERIC, description="Words of the domain: music, movies, books, or generic for any."
    )
    language: str = Field("en", description="Language of sentences.")
    reasons: ReasonConfig = Field(ReasonConfig(), description="When evidence is a reason.")
    sentences: SentenceConfig = Field(
        SentenceConfig(), description="How much is said, and how sure it sounds."
    )

    @model_validator(mode="after")
    def _words_are_there(self) -> Self:
        # Here, because a system that took minutes to fit must not fail for want of its words.
        try:
            load_words(self.pack, self.language)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self


class HybridConfig(Settings):
    """Everything that can be set about a system."""

    bases: dict[Label, dict[str, Any]] = Field(
        DEFAULT_BASES,
        min_length=1,
        description="Base recommenders by label; `model` names the kind, the other keys are its settings.",
    )
    blend: BlendConfig = Field(BlendConfig(), description="How the blend is learned.")
    compare: tuple[str, ...] = Field(
        COMPARED,
        description="Fusion models that `evaluate` fits and shows beside the one that serves, on the same signals. "
        "Those whose extra is not installed are left out.",
    )
    ranking: RankingConfig = Field(
        RankingConfig(), description="How the best candidates of a request become a list."
    )
    explain: ExplainConfig = Field(
        ExplainConfig(), description="How the reasons of an item are found and said."
    )
    protocol: ProtocolConfig = Field(ProtocolConfig(), description="How the log is cut.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="What is measured.")
    cache: CacheConfig = Field(
        CacheConfig(), description="How much `--cache` may keep; it changes no result."
    )
    target: Target | None = Field(None, description="What counts as positive; unset: as imported.")

    def on_device(self, device: DeviceName) -> Self:
        """The same settings, with every network trained on a device, of bases and of blends.

        Raises:
            ConfigError: If settings of a fusion model are wrong.
        """
        moved = fusions_on_device(self.blend.fusion_settings, device)
        return self.changed(
            bases=bases_on_device(self.bases, device),
            blend=self.blend.changed(fusion_settings=moved),
        )
