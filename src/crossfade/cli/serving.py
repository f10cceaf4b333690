"""`crossfade serve` and `crossfade keys`: the service, and who may use it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.recommending import BundleOption, ServingOption, one_place
from crossfade.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from crossfade.service.config import ServiceConfig
    from crossfade.store.log import Log

ENVIRONMENT = "CROSSFADE_"
"""Before the name of a setting, in capitals, in the environment."""

keys = typer.Typer(name="keys", help="API keys: who may use the service.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings of the service.")
]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="URL of the event log, instead of the setting.")
]


def serve(
    bundle: BundleOption = None,
    registry: ServingOption = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    database: DatabaseOption = None,
    no_keys: Annotated[
        bool,
        typer.Option("--no-keys", help="Let everybody in; on a loopback address only."),
    ] = False,
) -> None:
    """Answer over HTTP until stopped: lists, reasons, reactions, versions.

    Settings come from the file, then from the environment (`CROSSFADE_PORT=…`), then from options.
    """
    one_place(bundle, registry)
    given = {"host": host, "port": port, "database": database, "keys": False if no_keys else None}
    settings = service_settings(config, given)
    refuse_without_extra()
    from crossfade.service.run import serve as run
    from crossfade.service.versions import Source

    run(settings, Source(bundle, registry))


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Whose it is, for people.")],
    role: Annotated[
        str, typer.Option("--role", help="read: lists; write: events too; admin: everything.")
    ] = "read",
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Until it expires; never, without this.")
    ] = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from crossfade.data.dataset import to_us

    if role not in {"read", "write", "admin"}:
        raise ConfigError(f'role "{role}" is none; it is read, write or admin')
    now = datetime.now(UTC)
    expires = None if days is None else to_us(now + timedelta(days=days))
    with open_log(config, database) as log:
        typer.echo(log.add_key(name, role, to_us(now), expires))  # type: ignore[arg-type]


@keys.command("list")
def list_command(
    config: ConfigOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """Print who has a key, and what for."""
    with open_log(config, database) as log:
        found = log.keys()
    if as_json:
        typer.echo(json.dumps({"keys": [asdict(key) for key in found]}))
        return
    for key in found:
        state = "revoked" if key.revoked_us is not None else ""
        typer.echo(f"{key.id}  {key.role:<5}  {state:<7}  {key.name}")
    if not found:
        typer.echo("no keys yet")


@keys.command("revoke")
def revoke(
    key_id: Annotated[
        str, typer.Argument(help="Id of the key, as `crossfade keys list` prints it.")
    ],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Let a key no longer in; a running service follows within seconds."""
    from crossfade.data.dataset import to_us
    from crossfade.errors import UnknownIdError

    with open_log(config, database) as log:
        if not log.revoke_key(key_id, to_us(datetime.now(UTC))):
            raise UnknownIdError(f'there is no key "{key_id}"; see crossfade keys list')
    typer.echo(f"revoked {key_id}")


def service_settings(file: Path | None, given: dict[str, Any]) -> "ServiceConfig":
    """Settings of the service: of a file, over them those of the environment, over them options.

    Args:
        file: TOML; None reads none.
        given: Options by name of the setting; None where one was not given.

    Raises:
        ConfigError: With every wrong or unknown setting.
    """
    import os

    from crossfade.config import read_toml, validate
    from crossfade.service.config import ServiceConfig

    values = {} if file is None else read_toml(file)
    for name, field in ServiceConfig.model_fields.items():
        told = os.environ.get(f"{ENVIRONMENT}{name.upper()}")
        if told is not None:
            many = str(field.annotation).startswith("tuple")
            values[name] = [part for part in told.split(",") if part] if many else told
    values |= {name: value for name, value in given.items() if value is not None}
    return validate(ServiceConfig, values, "settings of the service" if file is None else str(file))


def open_log(config: Path | None, database: str | None) -> "Log":
    """The event log that settings or an option name."""
    refuse_without_extra()
    from crossfade.store.log import Log

    return Log.open(service_settings(config, {"database": database}).database)


def refuse_without_extra() -> None:
    """Raise `MissingExtraError` unless what the service is made of is installed."""
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy")):
        raise MissingExtraError("the service", "serve")
