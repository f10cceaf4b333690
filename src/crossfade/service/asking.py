"""What every route asks for: the service, and a caller who may."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from crossfade.service.access import Role
from crossfade.service.state import Service

_scheme = HTTPBearer(auto_error=False, description="A key made by `crossfade keys add`.")


async def running(request: Request) -> Service:  # else FastAPI would call it in a thread
    """The service that an app belongs to."""
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(running)]


def needs(role: Role) -> Callable[..., Awaitable[None]]:
    """Let only callers with a role through."""

    async def check(
        request: Request, service: Running, _: Annotated[object, Depends(_scheme)]
    ) -> None:
        await service.door.admit(request, role)

    return check
