"""The views of sql/views: read from their files and created over the lake's tables, in this session or in a catalog.

A file is one SELECT over bare names of tables and views; its own name is the view's. So the same text runs wherever the
session's current schema holds the tables: in Unity Catalog, or here, where `open_schema` names a lake's folders.
"""

import logging
import re
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pyspark.sql.types as T
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from lib.errors import SettingsError
from lib.lake.delta_tables import Lake, absolute_root, quoted_name
from lib.lake.schemas import TABLES
from lib.sql.errors import Needs, spark_errors_as_sentences
from lib.sql_folder import SQL

logger = logging.getLogger(__name__)

_READ_NAME = re.compile(r"\b(?:from|join)\s+(\w+)", re.IGNORECASE)
_COLUMN_COMMENT = re.compile(r"^  (\w+): (.+)$")


class View(NamedTuple):
    """A view as its file says it; `reads` are the tables and views it needs, not those that they need in turn."""

    name: str
    query: str
    comment: str
    column_comments: dict[str, str]
    reads: frozenset[str]


def read_views(sql: Path = SQL) -> list[View]:
    """The views of `sql`/views, each after those it reads. Raises SettingsError if there are none."""
    files = {path.stem: path.read_text() for path in sorted((sql / "views").glob("*.sql"))}
    if not files:
        raise SettingsError(f"there are no views in {sql / 'views'}: the folder sql must lie beside the folder conf")
    views = {name: _parse(name, text, known=files.keys() | TABLES.keys()) for name, text in files.items()}
    # Sorted, or the order would be another in every process.
    order = TopologicalSorter({name: sorted(view.reads & views.keys()) for name, view in views.items()})
    return [views[name] for name in order.static_order()]


def _parse(name: str, text: str, known: Iterable[str]) -> View:
    """The opening comment says what the view is for, up to an empty line, and explains columns as `name: Sentence.`"""
    lines = text.splitlines()
    num_header = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = [line[2:].removeprefix(" ") for line in lines[:num_header]]
    sentence = header[: header.index("")] if "" in header else header
    columns = {found.group(1): found.group(2) for line in header if (found := _COLUMN_COMMENT.match(line))}
    query = "\n".join(lines[num_header:]).strip()
    without_comments = re.sub(r"--.*", "", query)
    reads = frozenset(_READ_NAME.findall(without_comments)) & frozenset(known)
    return View(name, query, " ".join(sentence), columns, reads)


def needs_of(views: Iterable[View]) -> Needs:
    """By view, the tables and views that it reads."""
    return {view.name: view.reads for view in views}


def publish_views(lake: Lake, sql: Path = SQL) -> list[str]:
    """Create or replace every view in the catalog and schema of the lake; returns their names."""
    views = read_views(sql)
    with spark_errors_as_sentences(lake, needs_of(views)):
        open_schema(lake)
        create_missing_tables(lake, views)
        created = create_views(lake.spark, views)
    schema = f"{lake.storage.catalog}.{lake.storage.schema_name}"
    logger.info("%d views in %s: %s", len(created), schema, ", ".join(created))
    return created


def open_schema(lake: Lake) -> None:
    """Make bare names mean the lake's tables: the catalog's own, or its folders as tables of this session.

    Naming a folder writes nothing into it.
    """
    catalog = lake.spark.catalog
    if lake.storage.catalog:
        catalog.setCurrentCatalog(lake.storage.catalog)
        catalog.setCurrentDatabase(quoted_name(lake.storage.schema_name or ""))
        return
    for name in TABLES:
        if lake.has(name) and not catalog.tableExists(name):
            catalog.createTable(name, path=f"{absolute_root(lake.storage)}/{name}", source="delta")


def create_views(spark: SparkSession, views: Iterable[View]) -> list[str]:
    """Create or replace, in the session's current schema, the views whose tables are there; returns their names."""
    created: list[str] = []
    for view in views:
        if not all(name in created or spark.catalog.tableExists(name) for name in view.reads):
            logger.info("view %s is left out: it needs %s", view.name, ", ".join(sorted(view.reads)))
            continue
        schema = spark.sql(view.query).schema
        spark.sql(_statement(view, schema))
        created.append(view.name)
    return created


def create_missing_tables(lake: Lake, views: Iterable[View]) -> None:
    """Create the tables that views need and no job has written yet, empty: every view is there from the first night."""
    needed = {name for view in views for name in view.reads & TABLES.keys()}
    for table in (TABLES[name] for name in sorted(needed)):
        if not lake.has(table.name):
            # By its bare name in the current schema: Spark's own Delta takes no name of three parts here.
            builder = DeltaTable.createIfNotExists(lake.spark).tableName(table.name)
            builder.addColumns(table.schema).comment(table.comment).execute()


def _statement(view: View, schema: T.StructType) -> str:
    columns = []
    for field in schema:
        comment = view.column_comments.get(field.name) or field.metadata.get("comment")
        columns.append(f"`{field.name}`" + (f" comment {_literal(comment)}" if comment else ""))
    return (
        f"create or replace view {view.name} (\n    " + ",\n    ".join(columns) + "\n)\n"
        f"comment {_literal(view.comment)}\nas\n{view.query}"
    )


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
