"""SQL on the lake, typed by people: statements one by one, answers as tables, errors as one sentence."""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import dup, dup2

from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.sql.display import print_rows
from lib.sql.errors import SqlRefusedError, spark_errors_as_sentences
from lib.sql.read_only import only_reads
from lib.sql.views import View, create_views, needs_of, open_schema

# Quoted text and comments whole, so that a semicolon inside them ends no statement.
_PIECE = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|;|.", re.DOTALL)


@dataclass(frozen=True)
class SqlPrompt:
    """What the prompt needs to answer: the lake, the views of sql/views, where to print, values for :name."""

    lake: Lake
    views: list[View]
    console: Console
    max_rows: int
    parameters: dict[str, str] = field(default_factory=dict)


def open_prompt(prompt: SqlPrompt) -> None:
    """Put tables and views in place. Raises MissingInputError where there are no tables at all."""
    with spark_errors_as_sentences(prompt.lake, needs_of(prompt.views)):
        open_schema(prompt.lake)
        if not prompt.lake.storage.catalog:
            create_views(prompt.lake.spark, prompt.views)
            if not any(table.tableType != "VIEW" for table in prompt.lake.spark.catalog.listTables()):
                raise MissingInputError(
                    f"there are no tables in {prompt.lake.storage.root}: run `make demo` first, "
                    "or name their folder with --set storage.root=..."
                )


def run_statement(prompt: SqlPrompt, statement: str) -> None:
    """Run one statement and print its rows, their number and the seconds. Raises SqlRefusedError."""
    bare = without_comments(statement).strip()
    if not only_reads(statement):
        raise SqlRefusedError("This prompt only reads: start with select, with, describe, show or explain.")
    started = time.monotonic()
    with spark_errors_as_sentences(prompt.lake, needs_of(prompt.views)):
        arguments = {name: value for name, value in prompt.parameters.items() if f":{name}" in bare}
        frame = prompt.lake.spark.sql(statement, args=arguments or None)
        rows = frame.take(prompt.max_rows + 1)
    shown = rows[: prompt.max_rows]
    if frame.columns:
        print_rows(prompt.console, frame.columns, shown)
    seconds = f"{time.monotonic() - started:.1f} s"
    if len(rows) > len(shown):
        note = f"the first {len(shown):,} rows in {seconds}; there are more (--rows shows more)"
    else:
        note = f"{len(shown):,} row{'' if len(shown) == 1 else 's'} in {seconds}"
    prompt.console.print(Text(note, style="dim"))


def split_statements(text: str) -> tuple[list[str], str]:
    """The statements that a semicolon ends, and what stands after the last one."""
    statements, current = list[str](), ""
    for piece in _PIECE.findall(text):
        if piece != ";":
            current += piece
        elif without_comments(current).strip():
            statements.append(current.strip())
            current = ""
        else:
            current = ""
    return statements, current


def without_comments(text: str) -> str:
    """The text with every comment left out and quoted text as it is."""
    return "".join(piece for piece in _PIECE.findall(text) if not piece.startswith(("--", "/*")))


def run_all(prompt: SqlPrompt, text: str) -> None:
    """Run every statement of the text; the last one needs no semicolon."""
    statements, rest = split_statements(text)
    if without_comments(rest).strip():
        statements.append(rest.strip())
    if not statements:
        raise SqlRefusedError("There is no statement to run.")
    for statement in statements:
        run_statement(prompt, statement)


def run_interactively(prompt: SqlPrompt, read_line: Callable[[str], str] = input) -> None:
    """Read statements line by line until exit or the end of input; an error is a sentence, not the end."""
    _complete_names(prompt)
    prompt.console.print(_overview(prompt))
    prompt.console.print("End a statement with ; and leave with exit. `describe quality_by_day;` explains the columns.")
    typed = ""
    while True:
        try:
            line = read_line("...> " if typed else "sql> ")
            if not typed and line.strip().rstrip(";").lower() in ("exit", "quit", r"\q"):
                return
            statements, typed = split_statements(f"{typed}{line}\n")
            typed = typed if typed.strip() else ""
            for statement in statements:
                run_statement(prompt, statement)
        except SqlRefusedError as error:
            prompt.console.print(Text(str(error), style="red"))
        except KeyboardInterrupt:
            typed = ""
            prompt.console.print("stopped")
        except EOFError:
            return


def _overview(prompt: SqlPrompt) -> Table:
    """Views, then tables, with what each is for."""
    listed = prompt.lake.spark.catalog.listTables()
    table = Table.grid(padding=(0, 2))
    for entry in sorted(listed, key=lambda entry: (entry.tableType != "VIEW", entry.name)):
        kind = "view" if entry.tableType == "VIEW" else "table"
        table.add_row(Text(entry.name, style="bold"), Text(kind, style="dim"), Text(entry.description or ""))
    return table


def _complete_names(prompt: SqlPrompt) -> None:
    """Complete names of tables and views with the tab key, where the terminal can."""
    try:
        import readline
    except ImportError:  # Windows
        return
    names = sorted(table.name for table in prompt.lake.spark.catalog.listTables())

    def complete(start: str, number: int) -> str | None:
        fitting = [name for name in names if name.startswith(start)]
        return fitting[number] if number < len(fitting) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


@contextmanager
def java_output_in_a_file() -> Iterator[None]:
    """Keep what Java prints while Spark starts, and later, off the terminal; print it after all if the start fails."""
    terminal = dup(2)
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            dup2(terminal, 2)
            file.seek(0)
            sys.stderr.write(file.read().decode(errors="replace"))
            raise
        finally:
            dup2(terminal, 2)


def silence_spark(spark: SparkSession) -> None:
    """Leave errors of tasks to the sentence that says what they mean."""
    spark.sparkContext.setLogLevel("OFF")
