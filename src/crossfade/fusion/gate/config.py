"""Settings that the learned gates share."""

from typing import Literal

from crossfade.config import Field, Settings
from crossfade.training.config import TrainConfig


class GateConfig(Settings):
    """A network that turns context into weights of the bases."""

    hidden: int = Field(128, ge=1, description="Width of the hidden layers.")
    n_layers: int = Field(3, ge=1, description="Number of hidden layers.")
    user_dim: int = Field(64, ge=1, description="Width of what is read of a request.")
    item_dim: int = Field(32, ge=1, description="Width of what is read of a candidate.")
    reading: Literal["plain", "extractors"] = Field(
        "plain",
        description="How context is read. plain: all columns through one layer; extractors: those of each "
        "modality (session, time, situation, item and its uncertainty, friends) through a network of its own, "
        "joined under a mask.",
    )
    session: Literal["attention", "mlp"] = Field(
        "mlp",
        description="How extractors read session features. mlp: plain layers; attention: features of one person "
        "look at one another.",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout after each hidden layer.")
    residual: bool = Field(
        True,
        description="Add a part that no base accounts for, from context alone; it is reported apart.",
    )
    floor: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Added to each weight of the static blend, which is where training starts: a base it leaves "
        "out can still come in.",
    )
    kl: float = Field(
        0.0, ge=0, description="Pull of the weights towards the static blend (Kullback-Leibler)."
    )
    residual_penalty: float = Field(
        0.0, ge=0, description="Pull of the residual towards 0 (mean square)."
    )
    confidence: float = Field(
        0.5,
        ge=0,
        description="Weight of the confidence loss: how well each base's confidence foretells that its candidate "
        "is wanted (log-loss).",
    )
    n_negatives: int = Field(
        200,
        ge=1,
        description="Candidates per list in a training step: all wanted ones, the rest drawn anew.",
    )
    batch_size: int = Field(16, ge=1, description="Requests per training step.")
    train: TrainConfig = Field(
        TrainConfig(
            epochs=6,
            lr=2e-3,
            weight_decay=1e-2,
            clip_norm=1.0,
            warmup_share=0.1,
            schedule="cosine",
            patience=0,
        ),
        description="The training loop.",
    )
