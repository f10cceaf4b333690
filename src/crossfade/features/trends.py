"""Which genres and moods are rising or falling, as of a moment."""

from dataclasses import dataclass

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.features.items import ItemArrays, ItemSchema
from crossfade.features.labels import take_lists
from crossfade.types import MICROSECONDS_PER_DAY, Arrays, Doubles, Floats, Ints, Rows, Times


class TrendConfig(Settings):
    """What counts as now, and how much evidence a trend needs."""

    half_life_days: float = Field(
        30.0, gt=0, description="Days after which an event counts half towards what is popular now."
    )
    step_days: float = Field(
        7.0,
        gt=0,
        description="Events count from the end of their step; memory grows with the steps that hold an event.",
    )
    shrink_votes: float = Field(
        10.0,
        gt=0,
        description="Votes added to those a label got lately and to those it was due: doubts rare labels.",
    )

    def fade(self, age_us: Times) -> Doubles:
        """What is left of an event after some microseconds."""
        left: Doubles = np.exp2(-age_us / (self.half_life_days * MICROSECONDS_PER_DAY))
        return left


@dataclass(frozen=True)
class _Steps:
    """How positive events fall into steps.

    Attributes:
        of_event: Step of each event.
        fade: What each event still counts at the end of its step.
        kept: What is left of each step at the end of the next one.
    """

    of_event: Ints
    fade: Doubles
    kept: Doubles


@dataclass(frozen=True)
class LabelTrend:
    """Running popularity of the labels of one kind.

    Attributes:
        recent: Decayed votes of each label at the end of each active step, ``(n_steps, n_labels)``.
        total: Votes of each label up to then, same shape.
    """

    recent: Floats
    total: Floats

    @classmethod
    def count(cls, indptr: Ints, label: Rows, n_labels: int, steps: _Steps) -> "LabelTrend":
        """Sum up the votes of positive events whose labels are given as lists."""
        sizes = np.diff(indptr)
        event = np.repeat(np.arange(len(sizes)), sizes)
        vote = 1.0 / sizes[event]
        cell = steps.of_event[event] * n_labels + label
        n_steps = len(steps.kept) + 1 if len(steps.of_event) else 0
        total, recent = (
            np.bincount(cell, weights, minlength=n_steps * n_labels)
            .astype(np.float64)
            .reshape(n_steps, n_labels)
            for weights in (vote, vote * steps.fade[event])
        )
        # From step to step everything only shrinks, so nothing overflows however long the log.
        for row, kept in enumerate(steps.kept.tolist(), start=1):
            recent[row] += kept * recent[row - 1]
        # Summed in double precision; half of it is plenty to keep.
        return cls(recent.astype(np.float32), np.cumsum(total, axis=0).astype(np.float32))


@dataclass(frozen=True)
class LabelTrends:
    """How far each label's share of positive events lies above its long-run share.

    A positive event casts one vote, split evenly over the labels of its item. With D the
    votes of a label that halve every ``half_life_days`` and ΣD those of all labels, p its
    share of all votes so far, and s = ``shrink_votes``, its trend is
    log((D + s) / (p ΣD + s)): above 0 rising, below 0 falling, and near 0 where there is
    little to go by. Events count from the end of their step (counted from 1970-01-01 UTC),
    so everything lies strictly before the moment asked for.

    Attributes:
        config: Half-life, step and shrinkage.
        ends_us: End of each step that holds an event, ascending, ``(n_steps,)``.
        genres: Of the genre rows of the schema.
        moods: Of its mood rows.
    """

    config: TrendConfig
    ends_us: Times
    genres: LabelTrend
    moods: LabelTrend

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        items: ItemArrays,
        schema: ItemSchema,
        config: TrendConfig | None = None,
    ) -> "LabelTrends | None":
        """Read a log once; None where it has no times.

        Args:
            dataset: The log; moments that are asked for later look at events before them only.
            items: Its whole catalogue.
            schema: What made them.
            config: Half-life, step and shrinkage.

        Raises:
            DataError: If the catalogue is another one.
        """
        if len(items) != dataset.n_items:
            raise DataError(
                f"{dataset.name}: item arrays for {len(items):,} items and a catalogue of "
                f"{dataset.n_items:,}; transform the items of this data set"
            )
        if dataset.time_us is None:
            return None
        config = config if config is not None else TrendConfig()
        wanted = dataset.events["strength"].to_numpy() > 0
        time_us = dataset.time_us[wanted]
        item = dataset.events["item_row"].to_numpy()[wanted]
        step_us = round(config.step_days * MICROSECONDS_PER_DAY)
        ends_us, step = np.unique(time_us // step_us * step_us + step_us, return_inverse=True)
        steps = _Steps(
            of_event=step,
            fade=config.fade(ends_us[step] - time_us),
            kept=config.fade(np.diff(ends_us)),
        )
        genres, moods = (
            LabelTrend.count(*take_lists(indptr, rows, item), len(labels), steps)
            for indptr, rows, labels in (
                (items.genre_indptr, items.genre_row, schema.genres),
                (items.mood_indptr, items.mood_row, schema.moods),
            )
        )
        return cls(config, ends_us, genres, moods)

    def at(self, as_of_us: Times) -> tuple[Floats, Floats]:
        """Trends of all genres and of all moods as of each moment.

        Args:
            as_of_us: Shape ``(n,)``, in any order.

        Returns:
            Natural log ratios, shapes ``(n, n_genres + 1)`` and ``(n, n_moods + 1)`` in label
            rows of the schema (column 0: unseen labels).
        """
        # The last step that has ended; a step that ends at the moment itself has.
        step = np.searchsorted(self.ends_us, as_of_us, side="right") - 1
        known = step >= 0
        fade = np.zeros(len(as_of_us))
        fade[known] = self.config.fade(as_of_us[known] - self.ends_us[step[known]])
        return self._log_ratio(self.genres, step, fade), self._log_ratio(self.moods, step, fade)

    def _log_ratio(self, trend: LabelTrend, step: Ints, fade: Doubles) -> Floats:
        if not len(trend.total):
            return np.zeros((len(step), trend.total.shape[1]), dtype=np.float32)
        # Before the first step has ended its row is read too, and then counts nothing.
        place, shrink = np.maximum(step, 0), self.config.shrink_votes
        recent = trend.recent[place] * fade[:, None]
        total = trend.total[place].astype(np.float64)
        all_votes = np.maximum(total.sum(axis=1, keepdims=True), 1e-30)  # none: no share of any
        due = total / all_votes * recent.sum(axis=1, keepdims=True)
        ratio: Floats = np.log((recent + shrink) / (due + shrink)).astype(np.float32)
        return ratio

    def to_arrays(self) -> Arrays:
        """Everything but the settings, as plain arrays."""
        return {
            "ends_us": self.ends_us,
            "genres.recent": self.genres.recent,
            "genres.total": self.genres.total,
            "moods.recent": self.moods.recent,
            "moods.total": self.moods.total,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: TrendConfig) -> "LabelTrends":
        """The inverse of `to_arrays`."""
        values = {name: array.astype(np.float32) for name, array in arrays.items()}
        return cls(
            config=config,
            ends_us=arrays["ends_us"].astype(np.int64),
            genres=LabelTrend(values["genres.recent"], values["genres.total"]),
            moods=LabelTrend(values["moods.recent"], values["moods.total"]),
        )
