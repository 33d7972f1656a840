"""Errors of Spark SQL as one sentence that says what to do, or which right to ask for."""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lib.errors import CaptionlakeError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES
from lib.sections.lake import StorageSettings

Needs = Mapping[str, frozenset[str]]  # by view, the tables and views that it reads

_NO_RIGHT = re.compile(r"User does not have (?:permission )?([A-Z][A-Z_ ,]*[A-Z]) on (\w+(?: \w+)?) [`']?([\w.`-]+\w)")
_NO_FILE_RIGHT = re.compile(r"Permission denied|AccessDenied|AccessControlException|403 Forbidden")
_NO_CATALOG = re.compile(r"[Cc]atalog [`'](.+?)[`'] (?:plugin class not found|was not found|does not exist)")
_NO_TABLE_FILES = re.compile(r"(?:DELTA_TABLE_NOT_FOUND|DELTA_PATH_DOES_NOT_EXIST).*?[`']([^'\s]+)[`']")
_PLACE = re.compile(r"\(line (\d+), pos (\d+)\)")


class SqlRefusedError(CaptionlakeError):
    """Raised when Spark refuses a statement; the message says what to ask for."""


@contextmanager
def spark_errors_as_sentences(lake: Lake, needs: Needs) -> Iterator[None]:
    """Turn what Spark raises inside into a SqlRefusedError of one sentence."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise SqlRefusedError(sentence_for(error, lake.spark, lake.storage, needs)) from error


def sentence_for(error: Exception, spark: SparkSession, storage: StorageSettings, needs: Needs) -> str:
    """One sentence on `error`."""
    message = str(error)
    kind, parameters = _kind_and_parameters(error)
    if refused := what_to_ask_for(error):
        return refused
    if files := _NO_TABLE_FILES.search(message):
        return f"The files of {_bare(files.group(1))} are gone: start again, and if that does not help run its job."
    if _NO_FILE_RIGHT.search(message):
        return f"You may not read some files of {storage.root}: ask for the right to read that folder."
    match kind:
        case "TABLE_OR_VIEW_NOT_FOUND":
            return _missing_table(_bare(parameters.get("relationName", "")), spark, storage, needs)
        case "UNRESOLVED_COLUMN.WITH_SUGGESTION":
            near = _bare(parameters.get("proposal", ""))
            return f"There is no column {_bare(parameters.get('objectName', ''))}; the nearest are: {near}."
        case "UNBOUND_SQL_PARAMETER":
            name = parameters.get("name", "")
            return f"The statement asks for :{name}: add --param {name}=... with its value."
        case "PARSE_SYNTAX_ERROR":
            return _syntax(message, parameters.get("error", ""))
    return _first_sentence(message)


def what_to_ask_for(error: Exception) -> str | None:
    """One sentence if `error` says that a right, a catalog or a schema is missing; None if it says anything else."""
    message = str(error)
    kind, parameters = _kind_and_parameters(error)
    if right := _NO_RIGHT.search(message):
        return _missing_right(*right.groups())
    if catalog := _NO_CATALOG.search(message):
        return _missing_catalog(catalog.group(1))
    if kind == "REQUIRES_SINGLE_PART_NAMESPACE":
        return _missing_catalog(_bare(parameters.get("namespace", "")).split(".")[0])
    if kind == "SCHEMA_NOT_FOUND":
        return _missing_schema(_bare(parameters.get("schemaName", "")))
    return None


def _kind_and_parameters(error: Exception) -> tuple[str, dict[str, str]]:
    """Spark's name for the error, "" if it has none, and the names that it is about."""
    kind = re.search(r"\[([A-Z_.]+)\]", str(error))
    parameters = error.getMessageParameters() or {} if hasattr(error, "getMessageParameters") else {}
    return kind.group(1) if kind else "", parameters


def _missing_table(name: str, spark: SparkSession, storage: StorageSettings, needs: Needs) -> str:
    location = f"{storage.catalog}.{storage.schema_name}" if storage.catalog else storage.root
    last = name.split(".")[-1]
    present = {table.name for table in spark.catalog.listTables()}
    if last in present:
        return f"There is no {name}, but there is {last} in {location}: leave out what stands before the last dot."
    if last in TABLES:
        return f"There is no table {last} in {location} yet: {TABLES[last].made_by}."
    if last in needs:
        tables = sorted(_tables_of(last, needs) - present)
        if not tables:
            return f"There is no view {last} in {location} yet: create_views makes it."
        made = "; ".join(f"{table}: {TABLES[table].made_by}" for table in tables)
        return f"There is no view {last} yet, because a table that it needs is not in {location} ({made})."
    near = difflib.get_close_matches(last, present, n=2, cutoff=0.75)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(present)) or 'none'}."
    return f"There is no table or view {name} in {location}; {hint}"


def _tables_of(view: str, needs: Needs) -> set[str]:
    """The tables that the view needs, through other views too."""
    tables: set[str] = set()
    for name in needs[view]:
        tables |= _tables_of(name, needs) if name in needs else {name}
    return tables


def _missing_right(right: str, kind: str, name: str) -> str:
    return (
        f"You have no right to {right} on {kind.lower()} {_bare(name)}: ask its owner or an administrator for "
        f"GRANT {right} ON {kind.upper()} {_bare(name)} TO <you or your group>."
    )


def _missing_catalog(name: str) -> str:
    return (
        f"There is no catalog {name} that this session can see: check the setting storage.catalog, "
        f"or ask for GRANT USE CATALOG ON CATALOG {name} TO <you or your group>."
    )


def _missing_schema(name: str) -> str:
    return (
        f"There is no schema {name} that this session can see: check the setting storage.schema_name, "
        f"or ask for GRANT USE SCHEMA ON SCHEMA {name} TO <you or your group>."
    )


def _syntax(message: str, error: str) -> str:
    location = _PLACE.search(message)
    where = f" in line {location.group(1)} at character {int(location.group(2)) + 1}" if location else ""
    seen = f"near {error}" if error.startswith("'") else "where it ends"
    return f"The statement cannot be read {seen}{where}."


def _first_sentence(message: str) -> str:
    """The message without its class, its Java stack and the plan that Spark appends."""
    lines = re.split(r"\n\s*at |\n\nDriver stacktrace|\n== |; line \d+ pos|\n'|;\n", message.strip())[0]
    text = " ".join(re.sub(r"^\[[A-Z_.]+\] ", "", lines).split())
    text = re.split(r"\b[\w.]+(?:Exception|Error): ", text)[-1]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _bare(name: str) -> str:
    return name.replace("`", "")
