"""API keys: given once, kept as what they hash to.

A key holds 32 random bytes. Nobody can try them all, so one SHA-256 protects it as well as a slow
hash would; that is for passwords, which people choose, and would cost every request tens of milliseconds.
"""

import hashlib
import hmac
import re
import secrets
from typing import Any

from sqlalchemy import Connection, insert, select, update

from crossfade.store.log.rows import ApiKey, Role
from crossfade.store.log.tables import api_keys

_KEY = re.compile(r"cf_([0-9a-f]{16})_([0-9a-f]{64})")


def add(connection: Connection, name: str, role: Role, now_us: int, expires_us: int | None) -> str:
    """A new key, in the only moment that it is known."""
    id_, secret = secrets.token_hex(8), secrets.token_hex(32)
    row = {"id": id_, "name": name, "role": role, "digest": _digest(secret), "created_us": now_us}
    connection.execute(insert(api_keys), {**row, "expires_us": expires_us})
    return f"cf_{id_}_{secret}"


def find(connection: Connection, presented: str, now_us: int) -> ApiKey | None:
    """Whose key this is; None where it opens nothing."""
    parts = _KEY.fullmatch(presented)
    if parts is None:
        return None
    row = connection.execute(select(api_keys).where(api_keys.c.id == parts[1])).first()
    # In constant time: how long a comparison takes must not tell how much of a guess was right.
    if row is None or not hmac.compare_digest(row.digest, _digest(parts[2])):
        return None
    key = _api_key(row._asdict())
    is_over = key.expires_us is not None and key.expires_us <= now_us
    return None if is_over or key.revoked_us is not None else key


def every(connection: Connection) -> list[ApiKey]:
    """All keys that were ever added, oldest first."""
    query = select(api_keys).order_by(api_keys.c.created_us, api_keys.c.id)
    return [_api_key(row._asdict()) for row in connection.execute(query)]


def revoke(connection: Connection, id_: str, now_us: int) -> bool:
    """Whether there was such a key, not yet revoked."""
    open_ = (api_keys.c.id == id_, api_keys.c.revoked_us.is_(None))
    return connection.execute(update(api_keys).where(*open_).values(revoked_us=now_us)).rowcount > 0


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _api_key(row: dict[str, Any]) -> ApiKey:
    del row["digest"]
    return ApiKey(**row)
