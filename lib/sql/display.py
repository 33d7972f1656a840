"""Prints the rows of a query: as a table where it fits the terminal, else as one block of lines per row."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import Row
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 160
READABLE_WIDTH = 16  # characters; a column that is squeezed to less than this is not worth reading
NUMBERS = (int, float)


def open_console() -> Console:
    """A console as wide as the terminal, or wide enough for most tables where there is none."""
    return Console(width=shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns, highlight=False)


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Print the rows; long text is wrapped, never cut."""
    cells = [[cell(value) for value in row] for row in rows]
    if _fits(console.width, columns, cells):
        console.print(_table(columns, rows, cells))
        return
    for number, values in enumerate(cells, start=1):
        block = Table.grid(padding=(0, 2))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for column, value in zip(columns, values, strict=True):
            block.add_row(Text(column, style="dim"), value)
        console.rule(f"row {number}", align="left", style="dim")
        console.print(block)


def cell(value: Any) -> Text:
    """A value as text; null is told apart from the word null by being dim."""
    return Text("null", style="dim") if value is None else Text(_written(value))


def _written(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case datetime():
            # Spark hands out times without a zone, in that of this machine; the lake's are in UTC.
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case bytes() | bytearray():
            return f"<{len(value):,} bytes>"
        case Row():
            return "(" + ", ".join(_written(part) for part in value) + ")"
        case list():
            return "[" + ", ".join(_written(part) for part in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_written(part)}" for key, part in value.items()) + "}"
    return str(value)


def _table(columns: Sequence[str], rows: Sequence[Row], cells: list[list[Text]]) -> Table:
    table = Table(header_style="bold")
    for index, column in enumerate(columns):
        values = [row[index] for row in rows if row[index] is not None]
        is_number = bool(values) and all(isinstance(v, NUMBERS) and not isinstance(v, bool) for v in values)
        table.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for values in cells:
        table.add_row(*values)
    return table


def _fits(width: int, columns: Sequence[str], cells: list[list[Text]]) -> bool:
    """Whether every column can have its name in one line and a readable width."""
    needed = 1
    for index, column in enumerate(columns):
        longest = max((len(values[index]) for values in cells), default=0)
        needed += max(len(column), min(longest, READABLE_WIDTH)) + 3  # a border and two spaces
    return needed <= width
