"""What goes over the wire about items and users between fits."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from crossfade.data.schema import ITEM_COLUMNS
from crossfade.service.messages import WEEK_MS, Id, Message, Word, plain_text
from crossfade.store.log import Item, User

MAX_ROWS, MAX_PAGE, MAX_LABELS, MAX_ATTRIBUTES = 1_000, 1_000, 100, 50

Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000), AfterValidator(plain_text)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(plain_text)]
Labels = Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]
Share = Annotated[float, Field(ge=0, le=1)]
Attribute = bool | Annotated[float, Field(ge=-1e15, le=1e15)] | Text


def _free(name: str) -> str:
    if name in ITEM_COLUMNS or name in {"user_id", "available"}:
        raise ValueError(f"{name} is no attribute; it has a place of its own")
    return name


Name = Annotated[Word, AfterValidator(_free)]
Attributes = Annotated[dict[Name, Attribute], Field(max_length=MAX_ATTRIBUTES)]
Changes = Annotated[dict[Name, Attribute | None], Field(max_length=MAX_ATTRIBUTES)]


class ItemColumns(Message):
    """What the event contract knows of an item, none of it needed."""

    title: Text | None = None
    creator: Text | None = None
    creator_id: Id | None = None
    collection: Text | None = None
    genres: Labels | None = None
    moods: Labels | None = None
    duration_ms: Annotated[int, Field(ge=0, le=WEEK_MS)] | None = None
    release_date: date | None = None
    energy: Share | None = None
    valence: Share | None = None
    danceability: Share | None = None
    acousticness: Share | None = None
    instrumentalness: Share | None = None
    liveness: Share | None = None
    speechiness: Share | None = None
    tempo: Annotated[float, Field(gt=0, le=1_000)] | None = Field(
        None, description="In beats per minute."
    )


class ItemMessage(ItemColumns):
    """One item: all that is to be known of it."""

    available: bool = Field(True, description="Whether it may be in a list; heeded at once.")
    attributes: Attributes = Field(
        default_factory=dict, description="Further columns, such as popularity elsewhere."
    )

    def item(self, item_id: str) -> Item:
        """As it is kept."""
        return Item(item_id, _columns(self, exclude_none=True), self.available)


class NewItem(ItemMessage):
    """One item of several."""

    item_id: Id


class ItemChange(ItemColumns):
    """What is to be another; what is not named stays, and null takes a column away."""

    available: bool = True
    attributes: Changes = Field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Those that were named."""
        return _columns(self, exclude_unset=True)


class ItemBatch(Message):
    """Several items; all of them are kept, or none."""

    items: Annotated[tuple[NewItem, ...], Field(min_length=1, max_length=MAX_ROWS)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        _check_once([item.item_id for item in self.items])
        return self


class UserMessage(Message):
    """A profile: free attributes."""

    attributes: Attributes = Field(
        default_factory=dict, description="Such as a country; whatever fits by name."
    )


class NewUser(UserMessage):
    """One profile of several."""

    user_id: Id


class UserChange(Message):
    """What is to be another; what is not named stays, and null takes an attribute away."""

    attributes: Changes = Field(default_factory=dict)


class UserBatch(Message):
    """Several profiles; all of them are kept, or none."""

    users: Annotated[tuple[NewUser, ...], Field(min_length=1, max_length=MAX_ROWS)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        _check_once([user.user_id for user in self.users])
        return self


class Page(Message):
    """Which part of a long list."""

    cursor: Id | None = Field(None, description="What the page before named as next.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)


# -- answers -------------------------------------------------------------------------------

IN_VERSION = Field(
    description="Whether the version that serves knows it; otherwise the next fit may."
)


class KeptItem(ItemColumns):
    """One item as it is kept."""

    item_id: str
    available: bool
    attributes: Mapping[str, Any]
    changed_us: int = Field(description="When, in microseconds since 1970.")
    in_version: bool = IN_VERSION

    @classmethod
    def of(cls, item: Item, in_version: bool) -> Self:
        """As it goes over the wire."""
        known = {name: item.columns[name] for name in item.columns if name in ITEM_COLUMNS}
        return cls.model_validate(
            {
                **known,
                "item_id": item.item_id,
                "available": item.available,
                "attributes": {k: v for k, v in item.columns.items() if k not in known},
                "changed_us": item.changed_us,
                "in_version": in_version,
            }
        )


class KeptUser(BaseModel):
    """One profile as it is kept."""

    user_id: str
    attributes: Mapping[str, Any]
    changed_us: int = Field(description="When, in microseconds since 1970.")
    in_version: bool = IN_VERSION

    @classmethod
    def of(cls, user: User, in_version: bool) -> Self:
        """As it goes over the wire."""
        return cls(
            user_id=user.user_id,
            attributes=user.columns,
            changed_us=user.changed_us,
            in_version=in_version,
        )


class ItemsPage(BaseModel):
    """Items in the order of their ids."""

    items: Sequence[KeptItem]
    next: str | None = Field(description="Cursor of the next page; null after the last.")


class UsersPage(BaseModel):
    """Profiles in the order of their ids."""

    users: Sequence[KeptUser]
    next: str | None = Field(description="Cursor of the next page; null after the last.")


class Put(BaseModel):
    """What became of one of several."""

    id: str
    changed: bool = Field(description="Whether it was new or differed from what was kept.")
    in_version: bool = IN_VERSION


class PutAnswer(BaseModel):
    """What became of several, in their order."""

    kept: Sequence[Put]


class Deleted(BaseModel):
    """What was deleted, and what was not."""

    id: str
    deleted: bool = Field(description="Whether anything was kept.")
    note: str


def _columns(message: ItemMessage | ItemChange, **which: bool) -> dict[str, Any]:
    known = {"item_id", "available", "attributes"}
    return {
        **message.model_dump(mode="json", exclude=known, **which),  # type: ignore[arg-type]
        **message.attributes,
    }


def _check_once(ids: Sequence[str]) -> None:
    twice = [id_ for id_ in dict.fromkeys(ids) if ids.count(id_) > 1]
    if twice:
        raise ValueError(f"{len(twice)} ids are given more than once, first {twice[0]!r}")
