"""How pages are drawn: templates, what every page knows, and what goes in and out of forms."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from starlette.responses import HTMLResponse

from crossfade.service.access import ROLES, Doorkeeper, Role
from crossfade.service.asking import Running
from crossfade.service.dashboard.sessions import PATH, check_origin
from crossfade.service.faults import Refusal

T = TypeVar("T", bound=BaseModel)

PLACES = (
    ("Listeners", "", ("start", "listener", "history")),
    ("Items", "items", ("item",)),
    ("Experiments", "experiments", ("experiment",)),
    ("Monitoring", "monitoring", ()),
    ("Versions", "versions", ()),
    ("Data", "data", ()),
)
"""What every page leads to: name, path, and the paths below it."""

N_FIELDS = 1_000
"""Most fields of a form."""


def looks(role: Role) -> Callable[..., Awaitable[None]]:
    """Let only visitors with a role see a page; what they send must come from a page of ours."""

    async def check(request: Request) -> None:
        door: Doorkeeper = request.app.state.door
        await door.admit(request, role)
        if request.method != "GET":
            check_origin(request, is_open=door.open)

    return check


Looks = Depends(looks("read"))
Likes = Depends(looks("write"))
Runs = Depends(looks("admin"))


def render(request: Request, name: str, status: int = 200, **told: Any) -> HTMLResponse:
    """A page or a part of one; whatever is put into it is escaped."""
    role = getattr(request.state, "role", None)
    page = _templates.get_template(name).render(
        request_id=request.state.request_id,
        path=request.url.path.removeprefix(PATH).strip("/"),
        places=PLACES,
        may={one: role is not None and ROLES.index(role) >= ROLES.index(one) for one in ROLES},
        signed_in=role is not None and not request.app.state.door.open,
        version=request.app.state.service.versions.current().version,
        **told,
    )
    return HTMLResponse(page, status)


def url(place: str = "", **asked: Any) -> str:
    """Where a page is; what is None or an empty list is left out."""
    given = {name: value for name, value in asked.items() if value not in (None, (), [])}
    return f"{PATH}/{place}" + (f"?{urlencode(given, doseq=True)}" if given else "")


def read(model: type[T], fields: Iterable[tuple[str, str]]) -> T:
    """The fields of a form or an address as a message; of those it does not know nothing is read.

    Raises:
        Refusal: With everything that is wrong.
    """
    pairs = list(fields)
    many = {name for name, field in model.model_fields.items() if "tuple" in str(field.annotation)}
    values: dict[str, Any] = {
        name: [text for key, text in pairs if key == name] if name in many else dict(pairs)[name]
        for name in model.model_fields
        if any(key == name for key, _ in pairs)
    }
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Refusal(422, wrong(error.errors())) from None


def wrong(faults: Iterable[Mapping[str, Any]]) -> str:
    """All that is wrong with what was sent, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'request'}: {one['msg']}" for one in faults
    )


async def sent(request: Request) -> list[tuple[str, str]]:
    """The fields of a form."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=N_FIELDS)
    except ValueError:
        raise Refusal(400, f"a form may have {N_FIELDS:,} fields at most") from None


Sent = Annotated[list[tuple[str, str]], Depends(sent)]
__all__ = ["Likes", "Looks", "Running", "Runs", "Sent", "read", "render", "url"]


def _percent(share: float | None, digits: int = 0) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else f"{value:{form}}"


def _whole(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _moment(time_us: int | None) -> str:
    if time_us is None:
        return "–"
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M}"


_templates = Environment(
    loader=PackageLoader("crossfade.service.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"percent": _percent, "number": _number, "whole": _whole, "moment": _moment}
_templates.globals["url"] = url
