"""Settings of the audio-feature predictor."""

from crossfade.config import Field, Settings
from crossfade.training.config import TrainConfig


class AudioConfig(Settings):
    """How audio features are predicted from what a catalogue says.

    The defaults were chosen on a quarter of `spotify-tracks` with whole creators held out.
    """

    folds: int = Field(
        5,
        ge=2,
        description="Groups of creators; some networks leave out each, and are judged on it.",
    )
    networks_per_fold: int = Field(
        2,
        ge=1,
        description="Networks that leave out the same group, each from other starting weights; "
        "their mean is judged.",
    )
    hidden: int = Field(256, ge=1, description="Width of the network.")
    token_dropout: float = Field(
        0.5, ge=0, lt=1, description="Share of an item's words and labels hidden in training."
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of hidden units dropped in training."
    )
    creator_dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of training items shown without what is known of their creator, "
        "so that creators nobody knows are served too.",
    )
    creator_shrinkage: float = Field(
        2.0, ge=0, description="Tracks of an average creator added to each creator's mean."
    )
    min_token_creators: int = Field(
        3,
        ge=1,
        description="A word or label counts if so many creators use it; rarer ones only name creators.",
    )
    min_creators: int = Field(
        10,
        ge=2,
        description="A feature is learned if tracks of so many creators have it, else it stays missing.",
    )
    batch_size: int = Field(1_024, ge=1, description="Most items per gradient step.")
    min_examples: int = Field(
        20_000,
        ge=1,
        description="Items shown to each network at least, repeats counted; small catalogues get more epochs.",
    )
    train: TrainConfig = Field(
        TrainConfig(
            epochs=6, lr=3e-3, clip_norm=1.0, warmup_share=0.1, schedule="cosine", patience=0
        ),
        description="How each network is trained.",
    )
