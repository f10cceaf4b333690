"""Settings of the meta-learned gate."""

from typing import Literal

from crossfade.config import Field, Settings
from crossfade.training.config import TrainConfig

Algorithm = Literal["maml", "fomaml", "anil", "meta_sgd"]


class Listeners(Settings):
    """Parts of the episodes by kind of listener; only how they compare matters."""

    explorer: float = Field(1.0, ge=0, description="Who often plays what is new to them.")
    loyalist: float = Field(1.0, ge=0, description="Who mostly plays what they know.")
    other: float = Field(1.0, ge=0, description="Neither, or not known.")


class Histories(Settings):
    """Parts of the episodes by length of history; only how they compare matters."""

    few: float = Field(1.0, ge=0, description="No more positive events than the median person.")
    many: float = Field(1.0, ge=0, description="More; also where it is not known.")


class Items(Settings):
    """Parts of the episodes by how well the wanted items are described."""

    uncertain: float = Field(1.0, ge=0, description="Less complete than in the median episode.")
    certain: float = Field(1.0, ge=0, description="As complete or more; also where not known.")


class Hours(Settings):
    """Parts of the episodes by time of day of the request."""

    night: float = Field(1.0, ge=0, description="From 0 to 6 o'clock.")
    morning: float = Field(1.0, ge=0, description="From 6 to 12 o'clock.")
    afternoon: float = Field(1.0, ge=0, description="From 12 to 18 o'clock.")
    evening: float = Field(1.0, ge=0, description="From 18 to 24 o'clock.")
    unknown: float = Field(1.0, ge=0, description="No time is known.")


class Sampling(Settings):
    """Which episodes are drawn how often.

    A quarter of the draws goes by each of the four groups below, within a group in the stated
    parts, within a kind evenly. A kind without an episode leaves its part to the others.
    """

    by_kind: bool = Field(True, description="Draw by kind; otherwise every episode is as likely.")
    listener: Listeners = Field(Listeners(), description="Kinds of listeners.")
    history: Histories = Field(Histories(), description="Few or many events.")
    item: Items = Field(Items(), description="Items that are poorly or well described.")
    time: Hours = Field(Hours(), description="Time of day.")
    curriculum: bool = Field(
        False,
        description="Begin with episodes that the static blend ranks well and let in the harder ones by and by.",
    )
    easy_share: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Share of the episodes, easiest first, that a curriculum begins with.",
    )
    ramp: float = Field(
        0.5, gt=0, le=1, description="Share of the training after which all episodes are in."
    )


class MamlConfig(Settings):
    """A gate whose start is learned so that a few reactions of one person suffice to move it.

    The source has 10,000 episodes, 5 inner steps of rate 0.01, a meta-batch of 8 and an outer rate
    of 0.001. The first two stay. Validation preferred larger rates, and vmap pays only where many
    tasks go at once.
    """

    algorithm: Algorithm = Field(
        "anil",
        description="What adapts and how: `anil` the last layer only, `maml` both layers, `fomaml` both with "
        "first-order gradients, `meta_sgd` both with learned rates.",
    )
    hidden: int = Field(32, ge=1, description="Width of the hidden layer.")
    floor: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Added to each weight of the static blend, which is where training starts: a base it leaves "
        "out can still come in.",
    )
    inner_lr: float = Field(
        1.0,
        gt=0,
        description="Inner step size; with `meta_sgd`, its start. Gate logits are far apart: steps of 0.01 changed "
        "no list.",
    )
    n_steps: int = Field(
        5, ge=1, description="Inner steps while learning and, unless told otherwise, after."
    )
    max_steps: int = Field(20, ge=1, description="Most inner steps anybody may ask for afterwards.")
    inner_clip: float | None = Field(
        5.0, gt=0, description="Longest inner gradient of a task; unset: not clipped."
    )
    pull: float = Field(0.01, ge=0, description="Pull of adapted weights towards the start (L2).")
    shrink: float = Field(
        5.0,
        ge=0,
        description="n reactions move the weights n / (n + shrink) times as far: few say less than many.",
    )
    unadapted: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the loss without adaptation in what is learned: strangers are served without it.",
    )
    min_reactions: int = Field(
        2,
        ge=1,
        description="Fewer leave a person at the start. With one alone nothing can be held back to check it, and "
        "one list in eight got worse.",
    )
    n_folds: int = Field(
        4,
        ge=2,
        description="Parts into which a person's reactions are cut to see if adapting helps on held-back ones.",
    )
    n_candidates: int = Field(
        128,
        ge=64,
        description="Candidates per list in a training step: all wanted ones, the rest drawn and weighed up to "
        "the whole list.",
    )
    meta_batch: int = Field(64, ge=1, description="Episodes per outer step.")
    n_episodes: int = Field(
        10_000, ge=1, description="Episodes drawn in all; each may be drawn more than once."
    )
    sampling: Sampling = Field(Sampling(), description="Which episodes are drawn how often.")
    train: TrainConfig = Field(
        TrainConfig(epochs=10, lr=3e-3, clip_norm=1.0, patience=0, device="cpu"),
        description="The outer loop; an epoch is its part of `n_episodes`, after which validation looks.",
    )
