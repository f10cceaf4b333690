"""What a protocol found beside the table: each part is a section of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossfade.evaluation.candidates import CandidateRecall
from crossfade.evaluation.cost import Cost
from crossfade.evaluation.landscape import Landscape
from crossfade.evaluation.samples import Sample
from crossfade.evaluation.trust import Trust


@dataclass(frozen=True)
class Findings:
    """Whatever is there; what is not has no section.

    Attributes:
        trust: How far the model that serves keeps its word; None where no calibrated one does.
        landscape: What the bases weigh in it, and when; None where the static blend serves.
        candidates: How much of what was wanted it is given to rank; None where the static blend serves.
        static: Weights of the static blend by base, which serves where nothing was learned; empty
            where they are not known.
        samples: Some lists with their reasons.
        cost: What the run cost; None where nobody measured. It is the one part that differs
            from run to run, so it is in no JSON.
    """

    trust: Trust | None = None
    landscape: Landscape | None = None
    candidates: CandidateRecall | None = None
    static: Mapping[str, float] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    cost: Cost | None = None
