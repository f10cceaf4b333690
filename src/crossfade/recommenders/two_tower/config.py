"""Settings of the two-tower network, and its named forms."""

from typing import Any, Literal, Self

from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.context.config import SynthesisConfig
from crossfade.recommenders.two_tower.weekly import WeeklyConfig
from crossfade.training.config import TrainConfig

Form = Literal["default", "documented"]


class ItemTowerConfig(Settings):
    """What the item tower reads and how wide it is. A width of 0 leaves a block out."""

    text: bool = Field(True, description="Read the text vector of the item.")
    text_dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Dropout on the text vector. Without it a small catalogue is learned by heart: a text is as "
        "good as a name.",
    )
    creator_dim: int = Field(32, ge=0, description="Length of a creator's embedding.")
    genre_dim: int = Field(16, ge=0, description="Length of a genre's embedding.")
    mood_dim: int = Field(12, ge=0, description="Length of a mood's embedding.")
    audio_dim: int = Field(
        32, ge=0, description="Width of the layer over 8 audio features and their confidence."
    )
    rating_dim: int = Field(
        0,
        ge=0,
        description="Width of the layer over 5 ratings and popularities as of the request.",
    )
    numeric: bool = Field(True, description="Read release year and duration.")
    hidden: tuple[int, ...] = Field((256, 128), description="Widths of the hidden layers.")
    dropout: tuple[float, ...] = Field(
        (0.3, 0.3), description="Dropout after each hidden layer, one value per layer."
    )
    text_skip: bool = Field(
        True,
        description="Add the text's main directions straight to the output, so that training starts at similarity "
        "of text; needs `text`.",
    )
    creator_skip: bool = Field(
        True,
        description="Add a vector of the creator straight to the output, so that training starts with works of one "
        "creator alike.",
    )
    id_residual: bool = Field(
        True,
        description="Add a vector per item, learned from events; new items have none.",
    )
    id_dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of items whose own vector is hidden in a training step, and of those whose creator is, "
        "so that the rest of the content must do.",
    )
    step_dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of training steps in which every item goes by its content alone.",
    )
    audio_blur: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of audio values blurred in a step: less confidence, and noise in proportion, so that a "
        "guess comes to move an item less.",
    )
    synthesis: SynthesisConfig = Field(
        SynthesisConfig(),
        description="Features made of content, for items without a vector of their own.",
    )
    max_genres: int = Field(16, ge=1, description="Genres kept per item, the most common first.")
    max_moods: int = Field(8, ge=1, description="Moods kept per item, the most common first.")


class UserTowerConfig(Settings):
    """What the user tower reads and how wide it is. A width of 0 leaves a block out."""

    history: bool = Field(True, description="Pool vectors of the items in the history.")
    half_life_days: float | None = Field(
        None, gt=0, description="Days after which an event counts half in the pool; unset: never."
    )
    max_events: int = Field(200, ge=1, description="Newest positive events that are pooled.")
    id_dim: int = Field(0, ge=0, description="Length of a user's embedding.")
    id_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of users unknown in a training step."
    )
    genre_dim: int = Field(16, ge=0, description="Length of a genre's embedding.")
    mood_dim: int = Field(12, ge=0, description="Length of a mood's embedding.")
    top_labels: tuple[int, int] | None = Field(
        None, description="Genres and moods kept per person; unset: all."
    )
    activity_dim: int = Field(0, ge=0, description="Width of the layer over 18 session features.")
    time: bool = Field(False, description="Read hour, weekday, season and days away.")
    trends: bool = Field(
        False, description="Read which genres and moods rise or fall as of the request."
    )
    hidden: tuple[int, ...] = Field((128,), description="Widths of the hidden layers.")
    dropout: tuple[float, ...] = Field(
        (0.3,), description="Dropout after each hidden layer, one value per layer."
    )


class LossConfig(Settings):
    """What training makes small."""

    kind: Literal["softmax", "cosine"] = Field(
        "softmax",
        description="softmax: each wanted item against the others (sampled where there are many); cosine: the "
        "documented baseline on random pairs.",
    )
    temperature: float = Field(
        0.15, gt=0, description="Cosines are divided by this; where learning starts."
    )
    learn_temperature: bool = Field(True, description="Learn the temperature.")
    n_candidates: int = Field(
        4096,
        ge=2,
        description="Items each step compares with: all known ones if there are no more, else wanted ones of the "
        "batch mixed with uniform draws.",
    )
    uniform_share: float = Field(
        0.5, gt=0, lt=1, description="Share of sampled candidates that are uniform draws."
    )
    correction: float = Field(
        1.0, ge=0, le=1, description="Strength of the logQ correction for sampled candidates."
    )
    hard_negatives: int = Field(
        0, ge=0, description="Late in training keep only so many of the hardest; 0: all, always."
    )
    hard_from: float = Field(
        0.7, ge=0, lt=1, description="Share of the epochs after which that begins."
    )
    margin: float = Field(0.1, ge=-1, le=1, description="Margin of the cosine loss.")


class ExampleConfig(Settings):
    """How training examples are made: a history, and what was wanted besides."""

    order: Literal["held_out", "future", "mixed"] = Field(
        "held_out",
        description="future: history before a moment, wanted after it; held_out: a random part of the events is "
        "wanted, the rest is the history; mixed: a fair coin.",
    )
    batch_size: int = Field(256, ge=1, description="Histories per training step.")
    short_share: float = Field(
        0.3, ge=0, le=1, description="Share of examples whose history has 1 to 4 events."
    )
    empty_share: float = Field(
        0.05, ge=0, le=1, description="Share of examples without any history."
    )
    history_dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of history events hidden from the pool in a step."
    )
    max_wanted: int = Field(100, ge=1, description="Most wanted items per example.")
    min_steps: int = Field(
        200,
        ge=1,
        description="Small logs are gone through more often than `train.epochs`, until so many steps are made.",
    )
    validation_users: int = Field(
        0,
        ge=0,
        description="Users kept out of training to stop early by their NDCG@10; 0 trains to the end.",
    )


_FORMS: dict[str, dict[str, Any]] = {
    "default": {
        "train": {
            "epochs": 10,
            "lr": 3e-3,
            "weight_decay": 1e-2,
            "clip_norm": 1.0,
            "warmup_share": 0.1,
            "schedule": "cosine",
        },
    },
    "documented": {
        "output_dim": 64,
        "n_networks": 1,
        "item": {
            "rating_dim": 16,
            "numeric": False,
            "dropout": (0.3, 0.2),
            "text_skip": False,
            "creator_skip": False,
            "text_dropout": 0.0,
            "id_residual": False,
            "id_dropout": 0.0,
            "step_dropout": 0.0,
            "max_genres": 5,
            "max_moods": 3,
        },
        "user": {
            "history": False,
            "id_dim": 32,
            "top_labels": (5, 3),
            "activity_dim": 32,
            "hidden": (128, 64),
            "dropout": (0.2, 0.0),
        },
        "loss": {"kind": "cosine"},
        "examples": {
            "order": "future",
            "batch_size": 512,
            "short_share": 0.0,
            "empty_share": 0.0,
            "history_dropout": 0.0,
            "min_steps": 1,
        },
        "train": {"epochs": 50, "lr": 1e-3, "weight_decay": 1e-4},
    },
}
"""What each form sets apart from the defaults above; what is given beside it stands."""


class TwoTowerConfig(Settings):
    """A two-tower network.

    ``form`` names a whole set of values; whatever is given beside it stands.
    """

    form: Form = Field(
        "default",
        description="default: what won the ablation; documented: the architecture of the source document.",
    )
    output_dim: int = Field(128, ge=1, description="Length of the vectors of a network that meet.")
    n_networks: int = Field(
        3,
        ge=1,
        description="Networks trained from seeds of their own, whose scores are averaged; each costs a fit, and "
        "as much memory.",
    )
    encoder: Literal["tfidf", "minilm"] = Field(
        "tfidf", description="Text encoder; minilm needs the extra `text`."
    )
    text_cache: str | None = Field(
        None, description="Directory that keeps text vectors by content; unset: nothing is kept."
    )
    item: ItemTowerConfig = Field(ItemTowerConfig(), description="The item tower.")
    user: UserTowerConfig = Field(UserTowerConfig(), description="The user tower.")
    loss: LossConfig = Field(LossConfig(), description="What training makes small.")
    examples: ExampleConfig = Field(ExampleConfig(), description="What training looks at.")
    train: TrainConfig = Field(
        TrainConfig(**_FORMS["default"]["train"]), description="The training loop."
    )
    weekly: WeeklyConfig = Field(WeeklyConfig(), description="The weekly update.")
    checkpoint: str | None = Field(
        None,
        description="Directory that keeps a training run from epoch to epoch, so that one that was killed goes on "
        "when it is started again; emptied when it is done; unset: nothing is kept.",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """Put the values of the form under those that are given."""
        if not isinstance(values, dict) or values.get("form", "default") not in _FORMS:
            return values
        filled = dict(values)
        for name, preset in _FORMS[values.get("form", "default")].items():
            if not isinstance(preset, dict):
                filled.setdefault(name, preset)
                continue
            given = filled.get(name, {})
            if isinstance(given, Settings):  # what was said of a group, without its defaults
                given = given.model_dump(exclude_unset=True)
            if isinstance(given, dict):
                filled[name] = {**preset, **given}
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, tower in (("item", self.item), ("user", self.user)):
            if len(tower.dropout) != len(tower.hidden):
                raise ValueError(
                    f"{name}.dropout needs one value per hidden layer ({len(tower.hidden)}), "
                    f"got {len(tower.dropout)}"
                )
        item = self.item
        widths = (item.creator_dim, item.genre_dim, item.mood_dim, item.audio_dim)
        if item.synthesis.on and not (item.text or item.numeric or any(widths)):
            raise ValueError("item.synthesis reads nothing; set item.text or a width above 0")
        user = self.user
        needs_moment = user.time or user.trends or user.activity_dim or self.item.rating_dim
        if self.examples.order != "future" and needs_moment:
            raise ValueError(
                "user.time, user.trends, user.activity_dim and item.rating_dim need examples.order "
                f'"future", got "{self.examples.order}": only there an example has a moment'
            )
        if not (user.history or user.id_dim or user.genre_dim or user.mood_dim):
            raise ValueError("the user tower reads nothing; set user.history or a width above 0")
        return self
