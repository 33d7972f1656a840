"""Tells whether a statement is read-only, so that a typing mistake cannot change the lake."""

import logging
import re

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

READS = (exp.Query, exp.Values, exp.Describe, exp.Use, exp.Set)
READING_COMMANDS = {"SHOW", "EXPLAIN", "SET"}  # of which sqlglot knows no more than the first word
WRITES = (exp.DML, exp.Merge, exp.QueryTransform)  # a transformation runs a program
# For statements that sqlglot cannot parse: Spark reports their error, or runs them.
_FIRST_WORDS = {"select", "with", "from", "values", "table", "describe", "desc"}
_WRITING_WORDS = {"insert", "update", "delete", "merge", "create", "replace", "drop", "alter", "truncate", "load"}
_GAP = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
# A program that rows are sent through, which sqlglot takes for an alias after MAP and REDUCE; any method of Java.
# A function's name may stand in backticks, or be put together by IDENTIFIER.
_RUNS = re.compile(
    rf"\busing{_GAP}['\"]|\b(?:try_)?(?:reflect|java_method)`?{_GAP}\(|\bidentifier{_GAP}\(", re.IGNORECASE | re.DOTALL
)

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every command


def only_reads(statement: str) -> bool:
    """Whether the statement, in Spark's SQL, asks, explains, or sets up views and values of the session alone."""
    if _RUNS.search(statement):
        return False
    try:
        parsed = parse_one(statement, read="databricks")
    except SqlglotError:
        words = re.findall(r"\w+", statement.lower())
        return bool(words) and words[0] in _FIRST_WORDS and not _WRITING_WORDS.intersection(words)
    if isinstance(parsed, exp.Command):
        return str(parsed.this).upper() in READING_COMMANDS
    if isinstance(parsed, exp.Create):
        return parsed.kind == "VIEW" and parsed.find(exp.TemporaryProperty) is not None
    return isinstance(parsed, READS) and parsed.find(*WRITES) is None
