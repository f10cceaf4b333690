"""Writes the reference pages that follow from the code: ``python docs/generate.py``.

A test compares the pages with what this makes, so they cannot go stale.
"""

import json
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from typer.main import get_command

from crossfade.audio.config import AudioConfig
from crossfade.cli.app import app
from crossfade.config import Settings
from crossfade.data.importing.mapping import (
    Column,
    FileMapping,
    ImportMapping,
    ItemsMapping,
    JoinMapping,
    TableMapping,
    VectorsMapping,
)
from crossfade.data.splits import ProtocolConfig
from crossfade.data.target import Target
from crossfade.data.world import WorldConfig
from crossfade.evaluation import EvaluationConfig
from crossfade.experiments import Arm, Experiment
from crossfade.explain.acclaim import AcclaimConfig
from crossfade.explain.reasons import ReasonConfig
from crossfade.explain.sentences import SentenceConfig
from crossfade.features.items import ItemSchemaConfig
from crossfade.features.text.minilm import MiniLMConfig
from crossfade.features.text.tfidf import TfidfSvdConfig
from crossfade.features.trends import TrendConfig
from crossfade.hybrid import HybridConfig
from crossfade.index import IndexConfig
from crossfade.meta.blending import BlendConfig
from crossfade.meta.config import ExplainConfig
from crossfade.monitoring import MonitorConfig, Rule
from crossfade.online import HeadConfig
from crossfade.online.updates import AdaptConfig
from crossfade.ranking import RankingConfig
from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.service.config import ServiceConfig
from crossfade.store.cache import CacheConfig

REFERENCE = Path(__file__).parent / "reference"
IN_PYTHON: tuple[type[Settings], ...] = (
    IndexConfig,
    TfidfSvdConfig,
    MiniLMConfig,
    ItemSchemaConfig,
    TrendConfig,
)
"""Settings that no file holds; they are passed in Python."""


def settings_page() -> str:
    """Every setting of every file crossfade reads."""
    parts = [
        "# Settings",
        "",
        "Made by `python docs/generate.py`. A settings file is TOML; unknown keys are errors and every",
        "fault is named at once.",
        "",
        "## The file for `fit` and `evaluate`",
        "",
        *_table(HybridConfig),
        *_section("[blend]", BlendConfig),
        *_section("[ranking]", RankingConfig),
        *_section("[explain]", ExplainConfig),
        *_section("[explain.reasons]", ReasonConfig),
        *_section("[explain.reasons.acclaim]", AcclaimConfig),
        *_section("[explain.sentences]", SentenceConfig),
        *_section("[protocol]", ProtocolConfig),
        *_section("[evaluation]", EvaluationConfig),
        *_section("[cache]", CacheConfig),
        *_section("[target]", Target),
        "A table of `[bases]` bears a label of your choice. A label that is the name of a model needs no",
        "key `model`: `[bases.ease]`. Groups of settings are tables inside it:",
        "`[bases.two_tower.item]`.",
        "",
    ]
    for name, kind in sorted(RECOMMENDERS.items()):
        parts += _section(
            f'[bases.LABEL] with model = "{name}"', kind.Config, f"bases.{name}", kind.Config()
        )
        if kind.Config is TwoTowerConfig:
            parts += _form("documented")
    parts += ["## The mapping file for `import`", "", *_table(ImportMapping)]
    parts += _section("[events], [users], [taggings], [friends]", TableMapping)
    parts += _section("[items]", ItemsMapping)
    parts += _section("[vectors.NAME]", VectorsMapping)
    parts += _section("[[TABLE.joins]]", JoinMapping)
    parts += _section("How a file is read (every table and join)", FileMapping)
    parts += _section("[TABLE.columns] NAME = { … }", Column)
    parts += ["## The file for `audio fit`", "", *_table(AudioConfig)]
    parts += _groups(AudioConfig(), "")
    parts += [
        "## The file for `serve` and `keys`",
        "",
        *_table(ServiceConfig),
        *_section("[heads]", HeadConfig),
    ]
    parts += ["## The file for `experiments add`", "", *_table(Experiment)]
    parts += _section("[[arms]]", Arm)
    parts += ["## The file for `monitor`", "", *_table(MonitorConfig)]
    parts += _section("[[rules]]", Rule)
    parts += ["## The file for `adapt`", "", *_table(AdaptConfig)]
    parts += ["## The synthetic world", "", *_table(WorldConfig)]
    parts += [
        "## Settings in Python",
        "",
        "No file holds these; pass them to the class that uses them.",
        "",
    ]
    for settings in IN_PYTHON:
        module = settings.__module__
        parts += _section(f"{settings.__name__} of `{module}`", settings)
    return "\n".join(parts).rstrip() + "\n"


def commands_page() -> str:
    """Every command and option."""
    root = get_command(app)
    parts = [
        "# Commands",
        "",
        "Made by `python docs/generate.py` from the commands themselves.",
        "",
    ]
    for name, command in _commands(root):
        parts += [f"## crossfade {name}", "", (command.help or "").strip(), ""]
        parts += ["| option | meaning | default |", "| --- | --- | --- |"]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
            is_argument = parameter.param_type_name == "argument"
            shown = (parameter.name or "").upper() if is_argument else flags
            text = getattr(parameter, "help", None) or ""
            parts.append(f"| `{shown}` | {text} | {_default(parameter)} |")
        parts.append("")
    parts += [
        "Exit code 0: done; 1: it failed and one message says why; 2: a wrong call; 3: not accepted (`adapt`)."
    ]
    return "\n".join(parts) + "\n"


def _commands(group: Any) -> list[tuple[str, Any]]:
    """Commands by name; those of a group carry its name before their own."""
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        inside = _commands(command) if hasattr(command, "commands") else [("", command)]
        found += [(f"{name} {rest}".strip(), one) for rest, one in inside]
    return found


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default is None or default is False or callable(default) else f"`{default}`"


def _section(
    title: str, kind: type[Settings], table: str = "", values: Settings | None = None
) -> list[str]:
    """One group of settings, then the groups inside it if ``values`` holds any."""
    inside = [] if values is None else _groups(values, table)
    return [f"### {title}", "", *_table(kind, values), *inside]


def _groups(values: Settings, table: str) -> list[str]:
    """The groups inside some settings; ``table`` is the TOML table those stand in."""
    parts = []
    for name in type(values).model_fields:
        group = getattr(values, name)
        if isinstance(group, Settings):
            path = f"{table}.{name}".lstrip(".")
            parts += _section(f"[{path}]", type(group), path, group)
    return parts


def _form(name: Literal["documented"]) -> list[str]:
    """What a named form of the two-tower network sets apart from the default one."""
    form, default = TwoTowerConfig(form=name), TwoTowerConfig()
    rows = [
        f"| `{group}.{key}` | {_value(there)} | {_value(here)} |"
        for group in TwoTowerConfig.model_fields
        if isinstance(getattr(form, group), Settings)
        for key, there in getattr(form, group)
        if there != (here := getattr(getattr(default, group), key))
    ]
    return [
        f'### What form = "{name}" sets apart',
        "",
        f"| key | {name} | default |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _table(kind: type[Settings], values: Settings | None = None) -> list[str]:
    """Keys of a kind; ``values`` are the defaults where a group has some of its own."""
    if not kind.model_fields:
        return ["No settings.", ""]
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in kind.model_fields.items():
        if field.is_required():
            default = "required"
        elif values is not None:
            default = _value(getattr(values, name))
        else:
            default = _value(field.get_default(call_default_factory=True))
        rows.append(f"| `{name}` | {_type(field.annotation)} | {default} | {field.description} |")
    return [*rows, ""]


def _value(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, Settings):
        return "see below"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return f"`{text}`"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{option}"' for option in inner)
    if origin in {Union, UnionType}:
        return ", ".join(_type(option) for option in inner if option is not type(None))
    if origin in {dict, tuple, list}:
        return {dict: "table", tuple: "list", list: "list"}[origin]
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "table"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(
        annotation, "text"
    )


def main() -> None:
    """Write both pages."""
    for name, text in (("settings", settings_page()), ("commands", commands_page())):
        (REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")
        typer.echo(f"written: docs/reference/{name}.md")


if __name__ == "__main__":
    main()
