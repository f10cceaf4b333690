"""How a network is trained."""

from typing import Literal

from crossfade.config import Field, Settings

DeviceName = Literal["auto", "cpu", "cuda"]


class TrainConfig(Settings):
    """Settings of the training loop; the size of a batch belongs to the batches."""

    epochs: int = Field(20, ge=1, description="Most passes over the training examples.")
    lr: float = Field(1e-3, gt=0, description="Step size of AdamW at its highest.")
    weight_decay: float = Field(
        1e-2,
        ge=0,
        description="Share of a weight, times the step size, taken off at each step. Never taken off embeddings, "
        "biases, norms and temperatures.",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="Longest gradient over all weights together; unset: not clipped."
    )
    warmup_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of all steps over which the step size rises from 0 to `lr`.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Step size after the warm-up: it stays, or falls to 0 along half a cosine.",
    )
    patience: int = Field(
        3,
        ge=0,
        description="Stop after this many epochs in a row without a gain on validation; 0: never.",
    )
    min_delta: float = Field(
        0.0, ge=0, description="What the validation value must rise by to count as a gain."
    )
    device: DeviceName = Field(
        "auto",
        description="Where to train; auto takes a GPU where there is one. There bf16 is used, but not by blends.",
    )
