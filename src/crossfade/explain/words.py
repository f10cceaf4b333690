"""`Words`: every phrase of an explanation in one language and for one kind of catalogue.

Phrases live in TOML files, ``catalogues/<language>/<pack>.toml``. ``generic`` holds all of them;
another pack holds those it says otherwise. A translation is a folder with the same keys.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Formatter
from typing import Any

from crossfade.errors import ConfigError

GENERIC = "generic"

PLACEHOLDERS: dict[str, frozenset[str]] = {
    key: frozenset(names.split())
    for key, names in {
        "opening.very_sure": "",
        "opening.sure": "",
        "opening.fairly_sure": "",
        "opening.unsure": "",
        "reason.history": "items",
        "reason.session": "items",
        "reason.genre": "names",
        "reason.mood": "names",
        "reason.creator": "creator",
        "reason.description": "items",
        "reason.sound": "items",
        "reason.guessed_sound": "items",
        "reason.people": "names",
        "reason.taste": "names",
        "reason.popularity": "",
        "reason.well_rated": "n_ratings",
        "reason.agreed": "n_ratings",
        "reason.acclaimed": "n_ratings",
        "list.two": "first last",
        "list.more": "first rest",
        "list.notes": "first rest",
        "name.item": "title",
        "note.established": "",
        "note.discovery": "",
        "note.exploratory": "",
        "note.adapted": "",
        "note.well_rated": "n_ratings",
        "note.agreed": "n_ratings",
        "note.acclaimed": "n_ratings",
        "sentence.plain": "opening reasons",
        "sentence.noted": "opening reasons notes",
    }.items()
}
"""Every key of a catalogue, and what its phrase must have a place for."""


@dataclass(frozen=True)
class Words:
    """Phrases by key; see `PLACEHOLDERS`.

    Attributes:
        language: Such as ``en``.
        pack: Such as ``music``.
        phrases: All of them.
    """

    language: str
    pack: str
    phrases: Mapping[str, str]

    def say(self, key: str, **values: str) -> str:
        """A phrase with its places filled; what is filled in is not read as a phrase."""
        return self.phrases[key].format(**values)

    def listed(self, parts: Sequence[str]) -> str:
        """``a``, ``a and b``, ``a, b and c``; the empty text for nothing."""
        if len(parts) < 2:
            return "".join(parts)
        if len(parts) == 2:
            return self.say("list.two", first=parts[0], last=parts[1])
        return self.say("list.more", first=parts[0], rest=self.listed(parts[1:]))

    def noted(self, notes: Sequence[str]) -> str:
        """Notes one after the other, at least one; they are no list of like things."""
        if len(notes) == 1:
            return notes[0]
        return self.say("list.notes", first=notes[0], rest=self.noted(notes[1:]))


def load_words(pack: str = GENERIC, language: str = "en", folder: Path | None = None) -> Words:
    """Phrases of one pack, and for what it does not say otherwise the generic ones.

    Args:
        pack: Kind of catalogue: generic, music, movies or books.
        language: Name of a folder of catalogues.
        folder: Holds one folder per language; None takes those that come with crossfade.

    Raises:
        ConfigError: If there is no such language or pack, with every missing or unknown key,
            and every phrase whose places are not those that will be filled.
    """
    root = files("crossfade.explain") / "catalogues" if folder is None else folder
    place = _entry(root, language, "language", "folder")
    phrases = _read(_entry(place, f"{GENERIC}.toml", "pack", "file"))
    if pack != GENERIC:
        phrases |= _read(_entry(place, f"{pack}.toml", "pack", "file"))
    faults = [fault for key in sorted({*phrases, *PLACEHOLDERS}) for fault in _faults(key, phrases)]
    if faults:
        raise ConfigError(f"{place / f'{pack}.toml'}: " + "\n  ".join(faults))
    return Words(language, pack, {key: str(phrases[key]) for key in PLACEHOLDERS})


def _entry(folder: Any, name: str, what: str, kind: str) -> Any:
    """A file or folder by name.

    Raises:
        ConfigError: If it is not there, with the names that are.
    """
    there = {entry.name: entry for entry in folder.iterdir()} if folder.is_dir() else {}
    if name not in there:
        choices = ", ".join(sorted(n.removesuffix(".toml") for n in there if n[:1] not in "_."))
        raise ConfigError(
            f'{folder}: there is no {kind} "{name}" for the {what}; choose from {choices or "nothing"}'
        )
    return there[name]


def _read(file: Traversable) -> dict[str, Any]:
    """Phrases of one file by dotted key.

    Raises:
        ConfigError: If it is not TOML.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not a readable TOML file: {error}") from None
    flat: dict[str, Any] = {}
    for table, entries in tables.items():
        if isinstance(entries, dict):
            flat |= {f"{table}.{key}": phrase for key, phrase in entries.items()}
        else:
            flat[table] = entries
    return flat


def _faults(key: str, phrases: Mapping[str, Any]) -> list[str]:
    """What is wrong with one key."""
    if key not in PLACEHOLDERS:
        return [f"{key} is not a phrase; remove it or check its spelling"]
    if key not in phrases:
        return [f"{key} is missing; write its phrase"]
    phrase = phrases[key]
    if not isinstance(phrase, str) or not phrase.strip():
        return [f"{key} must be a text, got {phrase!r}"]
    try:
        places = [name for _, name, _, _ in Formatter().parse(phrase) if name is not None]
    except ValueError as error:
        return [f"{key}: {error}, in {phrase!r}; write braces in pairs"]
    if set(places) != PLACEHOLDERS[key]:
        wanted = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS[key])) or "no places"
        return [f"{key} needs {wanted}, got {phrase!r}"]
    return []
