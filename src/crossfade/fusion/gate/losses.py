"""What training a gate makes small."""

import torch
from torch import Tensor
from torch.nn import functional

from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.network import GateOutput

LEAST = -1e9


def listwise(score: Tensor, relevant: Tensor, mask: Tensor) -> Tensor:
    """Mean over requests of the mean over wanted candidates of −log softmax of the score.

    Args:
        score: ``(B, L)``.
        relevant: ``(B, L)``, bool; requests without a wanted candidate do not count.
        mask: Real candidates, ``(B, L)``.

    Source:
        Cao et al. (2007), "Learning to Rank: From Pairwise Approach to Listwise Approach",
        the top-one cross entropy with even shares for wanted items.
    """
    log_share = torch.log_softmax(score.masked_fill(~mask, LEAST), dim=-1)
    n = relevant.sum(dim=-1)
    lost = -(log_share * relevant).sum(dim=-1) / n.clamp(min=1)
    return lost.sum() / (n > 0).sum().clamp(min=1)


def divergence(weights: Tensor, static: Tensor, mask: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of the weights from the static ones over real candidates.

    0 at the static blend and above it everywhere else: shrinkage, with one sign.
    """
    tiny = torch.finfo(weights.dtype).tiny
    each = (weights * (weights.clamp(min=tiny).log() - static.clamp(min=tiny).log())).sum(dim=-1)
    return (each * mask).sum() / mask.sum().clamp(min=1)


def confidence_loss(logit: Tensor, batch: GateBatch) -> Tensor:
    """Log-loss of each base's confidence that the candidate is wanted; a proper score.

    Where only a share of the unwanted candidates is in the batch, the odds there are higher
    by one over that share.

    Source:
        King and Zeng (2001), "Logistic Regression in Rare Events Data", §4.1, prior correction.
    """
    target = batch.relevant[:, :, None].expand_as(logit).float()
    logit = logit - batch.kept.log()[:, None, None]
    each = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    return (each * batch.there).sum() / batch.there.sum().clamp(min=1)


def gate_loss(output: GateOutput, static: Tensor, batch: GateBatch, config: GateConfig) -> Tensor:
    """All terms with the weights of the settings."""
    total = listwise(output.score, batch.relevant, batch.mask)
    if config.confidence:
        total = total + config.confidence * confidence_loss(output.confidence, batch)
    if config.kl:
        total = total + config.kl * divergence(output.weights, static, batch.mask)
    if config.residual_penalty:
        square = (output.residual.square() * batch.mask).sum() / batch.mask.sum().clamp(min=1)
        total = total + config.residual_penalty * square
    return total
