"""Settings: frozen Pydantic models, unknown keys refused, every fault named at once."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError

from crossfade.errors import ConfigError

__all__ = ["Field", "Settings", "load_toml", "read_toml", "validate"]


T = TypeVar("T")


@overload
def Field(default: T, **rules: Any) -> T: ...
@overload
def Field(**rules: Any) -> Any: ...
def Field(default: Any = ..., **rules: Any) -> Any:  # noqa: N802
    """A setting: its default, its limits and its description, as pydantic's `Field` takes them.

    Under a name of our own, because type checkers take a positional default of pydantic's for none
    at all, and would ask whoever sets one value for all the others.
    """
    return pydantic.Field(default, **rules)


class Settings(BaseModel):
    """Base class of every settings model.

    Frozen, so a setting has one value for the life of a run; unknown keys are
    errors, so a misspelt setting is never silently ignored. Wrong values raise
    `ConfigError` with one line per fault.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_describe(error, type(self).__name__)) from None

    # Says that our __init__ adds no logic of its own. Without it Pydantic builds nested
    # settings by calling it, and the first nested fault hides all others.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Only what differs from the defaults, which a reader can look up."""
        fields = type(self).model_fields
        for name, value in super().__repr_args__():
            if name is None or value != fields[name].get_default(call_default_factory=True):
                yield name, value

    def changed(self, **values: Any) -> Self:
        """A copy with some values replaced, checked like the original."""
        return type(self)(**{**self.model_dump(), **values})


S = TypeVar("S", bound=Settings)


def validate(kind: type[S], values: dict[str, Any], source: str) -> S:
    """Settings from plain values.

    Args:
        kind: The settings model.
        values: Nested plain values, as read from TOML or JSON.
        source: Where they come from, for the error message.

    Raises:
        ConfigError: With one line per wrong or unknown key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_describe(error, source)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file.

    Raises:
        ConfigError: If the file is missing, not UTF-8 or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path of the settings file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from None


def load_toml(kind: type[S], path: Path) -> S:
    """Settings from a TOML file; see `validate` and `read_toml`."""
    return validate(kind, read_toml(path), str(path))


def _describe(error: ValidationError, source: str) -> str:
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"{name} is not a setting; remove it or check its spelling")
        elif fault["type"] == "missing":
            lines.append(f"{name} is missing; give it a value")
        elif fault["type"] == "value_error":  # a rule of ours, which names its own values
            sentence = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {sentence}" if name else sentence)
        else:
            # Pydantic's sentences start with "Input should ..."; ours name the setting.
            wanted = fault["msg"].removeprefix("Input ")
            lines.append(f"{name or 'settings'} {wanted}, got {_short(fault['input'])}")
    return f"{source}: " + ("\n  " if len(lines) > 1 else "") + "\n  ".join(lines)


def _short(value: object, n_characters: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= n_characters else f"{text[: n_characters - 1]}…"
