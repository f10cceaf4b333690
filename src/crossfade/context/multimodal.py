"""One context from whatever modalities are present."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from crossfade.context.base import Extracted, Extractor, masked_softmax


class MultiModalContext(nn.Module):
    """Contexts of several modalities, joined by gates under a mask.

    Each modality has an extractor, whose vector is projected to one width and given a score
    by itself alone. The joined context is the mean of the projected vectors, weighted by the
    softmax of the scores over the modalities that are present. A modality is absent from a row
    where none of its columns is known; it then has no influence at all on that row. Where all
    are absent, a learned vector stands in.

    Args:
        extractors: By name of modality; the order is that of the weights.
        output_dim: Width of the joined context.

    Raises:
        ValueError: If there is no extractor.
    """

    def __init__(self, extractors: Mapping[str, Extractor], output_dim: int = 64) -> None:
        super().__init__()
        if not extractors:
            raise ValueError("a joined context needs at least one modality")
        self.names = tuple(extractors)
        self.output_dim = output_dim
        self.extractors = nn.ModuleList(extractors.values())
        widths = [extractor.output_dim for extractor in extractors.values()]
        self.project = nn.ModuleList(nn.Linear(width, output_dim) for width in widths)
        self.gate = nn.ModuleList(nn.Linear(output_dim, 1) for _ in widths)
        self.nothing = nn.Parameter(torch.zeros(output_dim))

    def forward(self, inputs: Mapping[str, tuple[Tensor, Tensor]]) -> Extracted:
        """Join.

        Args:
            inputs: Scaled columns and where they are known, by modality; see
                `Extractor.forward`. Modalities left out are absent. Leading shapes may differ
                where they broadcast: ``(B, 1, C)`` for requests beside ``(B, L, C)`` for candidates.

        Returns:
            Context ``(..., output_dim)`` and the weight of each modality ``(..., M)`` in the order
            of ``names``: exactly 0 where absent, summing to 1 over the others.

        Raises:
            ValueError: If no modality is given, or one that has no extractor.
        """
        self._check(inputs)
        shape = np.broadcast_shapes(*(known.shape[:-1] for _, known in inputs.values()))
        vectors, scores, present = [], [], []
        for place, name in enumerate(self.names):
            if name not in inputs:
                continue
            values, known = inputs[name]
            vector = self.project[place](self.extractors[place](values, known).context)
            vectors.append(vector)
            scores.append(self.gate[place](vector)[..., 0].expand(shape))
            present.append(known.any(dim=-1).expand(shape))
        there = torch.stack(present, dim=-1)  # (..., given modalities)
        given = masked_softmax(torch.stack(scores, dim=-1), there)
        # One by one: stacked, what is known of a request would be copied for each candidate.
        joined = given.new_zeros(*shape, self.output_dim)
        for vector, weight in zip(vectors, given.unbind(dim=-1), strict=True):
            joined = torch.addcmul(joined, weight[..., None], vector)
        joined = torch.where(there.any(dim=-1, keepdim=True), joined, self.nothing)
        weights = given.new_zeros(*shape, len(self.names))
        weights[..., [place for place, name in enumerate(self.names) if name in inputs]] = given
        return Extracted(joined, weights)

    def _check(self, inputs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        unknown = [name for name in inputs if name not in self.names]
        if unknown:
            raise ValueError(
                f"modality {', '.join(unknown)} has no extractor; there are {', '.join(self.names)}"
            )
        if not inputs:
            raise ValueError(f"give at least one modality of {', '.join(self.names)}")
