"""AdamW with decay where it belongs, and the step size over time."""

import math
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from crossfade.training.config import TrainConfig

NEVER_DECAYED = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    _NormBase,
)


@runtime_checkable
class Paced(Protocol):
    """A part of a model that says how fast it learns beside the rest."""

    def pace(self) -> float:
        """What the step size of its parameters is multiplied by, above 0; asked at each step."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """A model's trainable parameters, those with weight decay apart from those without.

    Without: embeddings (a rare row would shrink at every step it is not in, so decay
    would act as a penalty on being rare), norms, and everything with fewer than two
    dimensions: biases, temperatures, scales.

    Args:
        model: A weight shared by an embedding and another layer counts as an embedding.
        weight_decay: For those with.

    Returns:
        One or two groups for a `torch.optim` optimiser, each with ``params``, ``weight_decay`` and
        ``paced``, which is empty; and as many for each `Paced` module, whose name is in ``paced``.
    """
    paced = {
        id(parameter): name
        for name, module in model.named_modules()
        if isinstance(module, Paced)
        for parameter in model.get_submodule(name).parameters()
    }
    spared = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, NEVER_DECAYED)
        for parameter in module.parameters(recurse=False)
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            spare = parameter.ndim < 2 or id(parameter) in spared
            groups.setdefault((paced.get(id(parameter), ""), spare), []).append(parameter)
    return [
        {"params": group, "weight_decay": 0.0 if spare else weight_decay, "paced": name}
        for (name, spare), group in sorted(groups.items(), key=lambda item: item[0])
    ]


def pace_of(model: nn.Module, group: dict[str, Any]) -> float:
    """What the step size of one of a model's `parameter_groups` is multiplied by now."""
    if not group["paced"]:
        return 1.0
    part = model.get_submodule(group["paced"])
    assert isinstance(part, Paced)
    return part.pace()


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`.

    Source:
        Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization".
    """
    groups = parameter_groups(model, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def lr_factor(step: int, n_steps: int, config: TrainConfig) -> float:
    """Share of the highest step size to use at one step.

    A function of the step alone, so a resumed run needs no state of a scheduler.

    Args:
        step: From 0 to ``n_steps`` − 1.
        n_steps: Steps of a run that is not stopped early.
        config: Length of the warm-up and the form of what follows.

    Returns:
        A number in (0, 1]: rises in equal parts to 1 at the last step of the warm-up,
        then stays or falls towards 0, which it would reach at step ``n_steps``.
    """
    n_warmup = math.ceil(config.warmup_share * n_steps)
    if step < n_warmup:
        return (step + 1) / n_warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / (n_steps - n_warmup)))
