"""Tables as HTML, which notebooks show in place of a `repr`; whatever comes from outside is escaped."""

from collections.abc import Sequence
from html import escape

Cell = str | int | float | None
"""None is an empty cell."""


def html_table(header: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> str:
    """A table with a line above it.

    Args:
        header: One name per column.
        rows: One cell per column each.
        caption: The line above; none where it is empty.
    """
    head = "".join(f'<th style="text-align: left">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    above = f"<p>{escape(caption)}</p>" if caption else ""
    return f"{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Cell) -> str:
    if value is None or isinstance(value, str):
        return f'<td style="text-align: left">{escape(value or "")}</td>'
    return f"<td>{value:,.3f}</td>" if isinstance(value, float) else f"<td>{value:,}</td>"
