"""Tasks of a source: small domains with what they can learn from themselves, and what came of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.few_shot.network import Lists, histories
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.drawing import draw, lists_of, mixed_content, own_lists, without_content
from crossfade.transfer.facts import Record, domain_facts
from crossfade.types import Doubles

Content = Literal["as it is", "without", "mixed"]
CONTENTS: tuple[Content, ...] = ("as it is", "mixed", "as it is", "without")
"""What becomes of the content of items in one round after another: what content is worth differs most
between domains, and a source alone has but one answer."""


@dataclass(frozen=True, eq=False)
class Task:
    """One small domain.

    Attributes:
        content: What became of what is said of items.
        domain: See `domain_facts`, ``(4,)``.
        evidence: See `Record.evidence`, ``(S,)``.
        support: What the small log can ask itself.
        query: What was wanted afterwards.
    """

    content: Content
    domain: Doubles
    evidence: Doubles
    support: Lists
    query: Lists


@dataclass(frozen=True, eq=False)
class Support:
    """What a small domain knows of itself.

    Attributes:
        domain: See `domain_facts`, ``(4,)``.
        lists: What it can ask itself.
        record: How the bases did there.
    """

    domain: Doubles
    lists: LabelledSignals
    record: Record

    @property
    def shows_histories(self) -> bool:
        """Whether some list is of somebody who wanted anything before."""
        return bool((histories(self.lists.signals) > 0).any())

    @classmethod
    def of(
        cls, log: Dataset, config: TransferConfig, rng: np.random.Generator, seed: int
    ) -> "Support | None":
        """Of a log; None where it can ask itself nothing."""
        lists = lists_of(own_lists(log, rng), config.bases, config.n_candidates, seed)
        return None if lists is None else cls(domain_facts(log), lists, Record.of(lists))


def tasks_of(dataset: Dataset, config: TransferConfig, seed: int) -> list[Task]:
    """Every task that is drawn from a source.

    Raises:
        DataError: If hardly anybody there has events enough for the fewest shots.
    """
    rng = generator(seed, f"transfer.tasks.{dataset.name}")
    found: list[Task] = []
    shapes = list(_shapes(config))
    refused: DataError | None = None
    with task(f"draw {len(shapes)} small domains from {dataset.name}", len(shapes)) as running:
        for n_users, shots, content in shapes:
            try:
                found += _one(
                    dataset, n_users, shots, content=content, config=config, rng=rng, seed=seed
                )
            except DataError as error:  # nobody has so many events; of fewer there may be
                refused = error
            running.advance(1)
    if not found:
        raise refused or DataError(
            f"{dataset.name}: no small domain drawn from it can ask itself anything; take more data"
        )
    return found


def _shapes(config: TransferConfig) -> Iterator[tuple[int, int, Content]]:
    for number in range(config.n_rounds):
        for n_users in config.users:
            for shots in config.shots:
                yield n_users, shots, CONTENTS[number % len(CONTENTS)]


def _one(
    dataset: Dataset,
    n_users: int,
    shots: int,
    *,
    content: Content,
    config: TransferConfig,
    rng: np.random.Generator,
    seed: int,
) -> Sequence[Task]:
    if content == "without":
        dataset = without_content(dataset)
    elif content == "mixed":
        dataset = mixed_content(dataset, rng)
    small = draw(dataset, n_users, shots, config.n_requests, rng)
    support = Support.of(small.log, config, rng, seed)
    if support is None:
        return ()
    query = lists_of([small.test], config.bases, config.n_candidates, seed)
    assert query is not None
    told = _sampled(support.lists, config.n_lists, rng), _sampled(query, config.n_lists, rng)
    return (Task(content, support.domain, support.record.evidence(), *told),)


def _sampled(lists: LabelledSignals, n: int, rng: np.random.Generator) -> Lists:
    places = np.arange(len(lists))
    if len(lists) > n:
        places = np.sort(rng.choice(len(lists), n, replace=False))
    return Lists.of(lists.take(places))
