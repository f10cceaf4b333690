"""Settings of a list."""

from typing import Literal

from pydantic import field_validator

from crossfade.config import Field, Settings
from crossfade.errors import ConfigError
from crossfade.ranking.rules import parse

Limit = Literal["max_genre_share", "max_per_creator", "min_probability"]


class RankingConfig(Settings):
    """How the best candidates of one request become a list."""

    rules: tuple[str, ...] = Field(
        (),
        description='What every item must fulfil, such as `duration_ms < 600000` or `not genres has "comedy"`.',
    )
    max_per_creator: int = Field(
        3, ge=0, description="Most items by one creator; 0 switches the limit off."
    )
    max_genre_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Largest share of a list that may stand for one genre, at least one item; 1 switches it off.",
    )
    min_probability: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Least calibrated probability of an item, 0 switches it off; an unknown one is never enough.",
    )
    relax: tuple[Limit, ...] = Field(
        ("max_genre_share", "max_per_creator", "min_probability"),
        description="Limits that give way, in this order, where fewer than k items keep them all. "
        "One that is left out never does, and lists may be shorter.",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0 ranks by score alone, 1 looks only for items unlike those already listed.",
    )
    diversify: Literal["mmr", "dpp"] = Field(
        "mmr",
        description='Unlike the most similar listed item ("mmr"), or unlike all of them together ("dpp").',
    )
    calibrated: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How strongly the genres of a list are drawn to those of the history; 0 not at all.",
    )
    pool: int = Field(
        100,
        ge=1,
        description="The best candidates that diversity and calibration choose from; further ones come by score. "
        "Time grows with its square.",
    )
    explore: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of a list that is drawn at random among candidates of uncertain score, rounded down.",
    )

    @field_validator("rules")
    @classmethod
    def _rules_can_be_read(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        faults = []
        for rule in rules:
            try:
                parse(rule)
            except ConfigError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))
        return rules

    @field_validator("relax")
    @classmethod
    def _each_once(cls, relax: tuple[Limit, ...]) -> tuple[Limit, ...]:
        if len(set(relax)) < len(relax):
            raise ValueError(f"names a limit twice, got {', '.join(relax)}; name each once")
        return relax
