"""Labelled candidate lists of a trial, with everything a learned blend may look at."""

from collections.abc import Mapping

import numpy as np

from crossfade.data import Dataset
from crossfade.data.arrivals import new_items
from crossfade.data.splits import Trial
from crossfade.evaluation.judge import Scorer
from crossfade.features.environment import EnvironmentSchema
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.meta.blending import BlendConfig
from crossfade.meta.context import ContextReader
from crossfade.meta.lists import ListBuilder
from crossfade.meta.signals import MAX_CELLS, sampled, stacked
from crossfade.meta.track import TrackRecord
from crossfade.progress import task
from crossfade.types import Bools, Csr, Rows


def contextual_signals(
    trial: Trial,
    bases: Mapping[str, Scorer],
    track: TrackRecord,
    *,
    config: BlendConfig,
    seed: int,
    environment: EnvironmentSchema | None = None,
) -> LabelledSignals:
    """Signals with both scales and context, for fusion models that learn.

    Wanted items that no base proposes are *not* put in, so quality measured here is quality
    of real lists, and nothing is learned from lists that serving never sees.

    Args:
        trial: Its bases must have been fitted on ``trial.train``.
        bases: Fitted recommenders by label.
        track: How the bases, fitted earlier, did in the block before.
        config: What bases propose; a trial of more than ``max_requests`` is sampled down to so many.
        seed: For that sample.
        environment: Which situations are columns; see `ContextReader`.
    """
    trial = sampled(trial, config.max_requests, seed)
    reader = ContextReader(trial.train, tuple(bases), track, environment)
    builder = list_builder(
        trial.train,
        bases,
        reader,
        config,
        exclude_seen=trial.exclude_seen,
        candidates=trial.candidates,
    )
    parts = []
    with task(f"score the {trial.name} block", len(trial.queries)) as running:
        for place, batch in trial.queries.batches(max(1, MAX_CELLS // trial.queries.n_items)):
            hidden = None if trial.hidden is None else Csr(trial.hidden[place])
            signals, item_row = builder.build(batch, hidden)
            parts.append(labelled(signals, item_row, Csr(trial.relevant[place])))
            running.advance(len(batch))
    return stacked(parts)


def list_builder(
    dataset: Dataset,
    bases: Mapping[str, Scorer],
    reader: ContextReader,
    config: BlendConfig,
    *,
    exclude_seen: bool,
    candidates: Bools | None,
) -> ListBuilder:
    """What makes candidate lists by some bases.

    Args:
        dataset: What they were fitted on.
        bases: By label.
        reader: Context as of the end of it.
        config: What bases propose.
        exclude_seen: Whether items in the history may not be listed.
        candidates: Items that may be listed, ``(n_items,)``; None means all.
    """
    # Looking for them takes half a second in a log of millions.
    new = new_items(dataset, config.new_days if config.n_new else 0)
    if candidates is not None:
        new = new[candidates[new]]
    return ListBuilder(
        bases, reader, exclude_seen, candidates, config.n_candidates, new, config.n_new
    )


def labelled(signals: Signals, item_row: Rows, relevant: Csr) -> LabelledSignals:
    """Signals with what was wanted, ``relevant`` of shape ``(B, n_items)``."""
    mask = item_row >= 0
    columns = np.where(mask, item_row, 0)
    wanted = np.take_along_axis(relevant.toarray() > 0, columns, axis=1) & mask
    return LabelledSignals(signals, item_row, wanted, np.diff(relevant.indptr).astype(np.float64))
