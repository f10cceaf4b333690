"""Text encoders by name; each library is imported when its encoder is made."""

from typing import Any, Literal

from crossfade.config import validate
from crossfade.errors import ConfigError
from crossfade.features.text.base import TextEncoder
from crossfade.types import Arrays

EncoderName = Literal["tfidf", "minilm"]
ENCODER_NAMES: tuple[EncoderName, ...] = ("tfidf", "minilm")


def make_encoder(name: str, settings: dict[str, Any] | None = None) -> TextEncoder:
    """An encoder that is not fitted yet.

    Args:
        name: ``"tfidf"`` (built in) or ``"minilm"`` (extra ``text``).
        settings: Values that differ from the defaults of ``TfidfSvdConfig`` or
            ``MiniLMConfig``.

    Raises:
        ConfigError: For an unknown name, or with one line per wrong setting.
        MissingExtraError: If the extra of the encoder is not installed.
    """
    source = f"text encoder {name}"
    if _known(name) == "tfidf":
        from crossfade.features.text.tfidf import TfidfSvdConfig, TfidfSvdEncoder

        return TfidfSvdEncoder(validate(TfidfSvdConfig, settings or {}, source))
    from crossfade.features.text.minilm import MiniLMConfig, MiniLMEncoder

    return MiniLMEncoder(validate(MiniLMConfig, settings or {}, source))


def restore_encoder(name: str, config: dict[str, Any], arrays: Arrays) -> TextEncoder:
    """A fitted encoder from what `TextEncoder.settings` and `TextEncoder.state` gave.

    Raises:
        ConfigError: For an unknown name, or settings that do not fit the encoder.
        KeyError: If an array is missing.
        MissingExtraError: If the extra of the encoder is not installed.
    """
    if _known(name) == "tfidf":
        from crossfade.features.text.tfidf import TfidfSvdEncoder

        return TfidfSvdEncoder.restore(config, arrays)
    from crossfade.features.text.minilm import MiniLMEncoder

    return MiniLMEncoder.restore(config, arrays)


def _known(name: str) -> str:
    if name not in ENCODER_NAMES:
        raise ConfigError(
            f'there is no text encoder "{name}"; choose from {", ".join(ENCODER_NAMES)}'
        )
    return name
