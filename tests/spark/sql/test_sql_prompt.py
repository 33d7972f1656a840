"""The SQL prompt: what it prints, what it refuses, and the one sentence that every error becomes."""

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from rich.console import Console

import jobs
from jobs.sql_prompt import main
from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES, Table
from lib.sections.lake import StorageSettings
from lib.sql.errors import SqlRefusedError, sentence_for
from lib.sql.prompt import SqlPrompt, open_prompt, run_all, run_interactively, split_statements
from lib.sql.views import needs_of, read_views
from tests.spark.analyst_lake import write_predictions

VIEWS = read_views()


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with predictions alone, open under bare names."""
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(spark, StorageSettings(root=str(folder), catalog=None, schema_name=None))
    write_predictions(lake)
    spark.sql(f"create database prompt location '{folder}/names'")
    spark.catalog.setCurrentDatabase("prompt")
    yield lake
    spark.catalog.setCurrentDatabase("default")
    spark.sql("drop database prompt cascade")


@pytest.fixture(scope="module")
def opened(lake: Lake) -> SqlPrompt:
    prompt = prompt_on(lake)
    open_prompt(prompt)
    return prompt


def prompt_on(lake: Lake, width: int = 120, max_rows: int = 100, **parameters: str) -> SqlPrompt:
    return SqlPrompt(lake, VIEWS, Console(file=StringIO(), width=width, highlight=False), max_rows, parameters)


def answer(prompt: SqlPrompt, statements: str) -> list[str]:
    """What the prompt prints, without the spaces at the end of lines."""
    run_all(prompt, statements)
    return [line.rstrip() for line in prompt.console.file.getvalue().splitlines()]


def refusal(prompt: SqlPrompt, statement: str) -> str:
    with pytest.raises(SqlRefusedError) as refused:
        run_all(prompt, statement)
    return str(refused.value)


def test_rows_are_printed_as_a_table_with_their_number(opened: SqlPrompt) -> None:
    lines = answer(
        prompt_on(opened.lake),
        "select image_id, confidence, predicted_at from newest_captions where image_id in ('a', 'c') order by image_id",
    )
    assert lines[1:5] == [
        "┃ image_id ┃ confidence ┃ predicted_at        ┃",
        "┡━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━┩",
        "│ a        │        0.9 │ 2026-01-02 02:00:00 │",
        "│ c        │       null │ 2026-01-01 02:00:00 │",
    ]
    assert lines[-1].startswith("2 rows in ")


def test_rows_too_wide_for_the_terminal_are_printed_one_below_the_other(opened: SqlPrompt) -> None:
    lines = answer(prompt_on(opened.lake, width=40), "select * from newest_captions where image_id = 'b'")
    assert lines[0].startswith("row 1 ──")
    assert lines[1:4] == [
        "image_id          b",
        "caption           InChI=1S/C2H6O/c1-2-3/",
        "                  h3H,2H2,1H3",
    ]


def test_values_are_written_for_people(opened: SqlPrompt) -> None:
    lines = answer(
        prompt_on(opened.lake),
        "select true as yes, 1 / 3 as third, encode('abc', 'utf8') as bytes, map('k', 1) as map, alternatives "
        "from caption_predictions where image_id = 'b' and model_version = 'm1'",
    )
    assert lines[3] == "│ true │ 0.333333 │ <3 bytes> │ {k: 1} │ [(InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3, -0.9)] │"


def test_more_rows_than_wanted_are_said_to_be_there(opened: SqlPrompt) -> None:
    lines = answer(prompt_on(opened.lake, max_rows=2), "select image_id from newest_captions")
    assert lines[-1].startswith("the first 2 rows in ")
    assert lines[-1].endswith("there are more (--rows shows more)")


def test_parameters_and_several_statements_are_answered(opened: SqlPrompt) -> None:
    prompt = prompt_on(opened.lake, model="m1")
    lines = answer(prompt, "-- a; b\nselect count(*) from caption_predictions where model_version = :model; select ';'")
    assert [line for line in lines if line.startswith("│")] == ["│        3 │", "│ ; │"]


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("select 1; select 2", ["select 1"], " select 2"),
        ("select ';', \"a;b\", `c;d`; -- ; no\n/* ; */", ["select ';', \"a;b\", `c;d`"], " -- ; no\n/* ; */"),
        ("select 'it\\'s;'; ;;", ["select 'it\\'s;'"], ""),
        ("select 'not closed;", ["select 'not closed"], ""),
    ],
)
def test_a_semicolon_ends_a_statement_unless_it_is_quoted(text: str, statements: list[str], rest: str) -> None:
    assert split_statements(text) == (statements, rest)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from captions",
        "drop table captions",
        "insert into captions select * from captions",
        "with x as (select 1) insert into captions select * from x",
        "optimize captions",
        "create view v as select 1",
    ],
)
def test_a_statement_that_writes_is_refused(opened: SqlPrompt, statement: str) -> None:
    assert refusal(opened, statement) == "This prompt only reads: start with select, with, describe, show or explain."


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "select * from evaluations",
            "There is no table evaluations in {root} yet: "
            "evaluate_captions makes it once a captioned image has a reference.",
        ),
        (
            "select * from quality_by_day",
            "There is no view quality_by_day yet, because a table that it needs is not in {root} "
            "(evaluations: evaluate_captions makes it once a captioned image has a reference).",
        ),
        (
            "select * from captions_to_reviw",
            "There is no table or view captions_to_reviw in {root}; did you mean captions_to_review?",
        ),
        (
            "select * from xyz",
            "There is no table or view xyz in {root}; there are caption_history, caption_predictions, "
            "captions_to_review, confidence_drift, newest_captions, quality_by_caption_length, quality_by_confidence, "
            "review_thresholds.",
        ),
        (
            "select * from elsewhere.newest_captions",
            "There is no elsewhere.newest_captions, but there is newest_captions in {root}: leave out what "
            "stands before the last dot.",
        ),
        (
            "select * from main.captionlake.captions",
            "There is no catalog main that this session can see: check the setting storage.catalog, "
            "or ask for GRANT USE CATALOG ON CATALOG main TO <you or your group>.",
        ),
        (
            "use nowhere",
            "There is no schema nowhere that this session can see: check the setting storage.schema_name, "
            "or ask for GRANT USE SCHEMA ON SCHEMA nowhere TO <you or your group>.",
        ),
        (
            "select captoin from review_thresholds",
            "There is no column captoin; the nearest are: min_confidence, min_similarity, min_sentence_confidence, "
            "max_alternative_probability.",
        ),
        ("select 1 form x y", "The statement cannot be read near 'x' in line 1 at character 15."),
        ("select (1", "The statement cannot be read where it ends in line 1 at character 10."),
        ("select :image_id", "The statement asks for :image_id: add --param image_id=... with its value."),
        (
            "select * from caption_predictions version as of 99",
            "Cannot time travel Delta table to version 99. Available versions: [0, 1].",
        ),
        (
            "select nothing(1)",
            "Cannot resolve function `nothing` on search path "
            "[`system`.`builtin`, `system`.`session`, `spark_catalog`.`prompt`].",
        ),
        ("select raise_error('boo')", "boo."),
        (" -- nothing", "There is no statement to run."),
    ],
)
def test_an_error_is_one_sentence_that_names_what_to_do(opened: SqlPrompt, statement: str, sentence: str) -> None:
    assert refusal(opened, statement) == sentence.format(root=opened.lake.storage.root)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have USE CATALOG on Catalog 'main'. "
            "SQLSTATE: 42501",
            "You have no right to USE CATALOG on catalog main: ask its owner or an administrator for "
            "GRANT USE CATALOG ON CATALOG main TO <you or your group>.",
        ),
        (
            "PERMISSION_DENIED: User does not have SELECT on Table 'main.captionlake.captions'.",
            "You have no right to SELECT on table main.captionlake.captions: ask its owner or an administrator for "
            "GRANT SELECT ON TABLE main.captionlake.captions TO <you or your group>.",
        ),
        (
            "java.io.FileNotFoundException: part-0.parquet (Permission denied)",
            "You may not read some files of {root}: ask for the right to read that folder.",
        ),
        (
            "[NO_SUCH_CATALOG_EXCEPTION] Catalog 'mian' was not found. Please verify the catalog name.",
            "There is no catalog mian that this session can see: check the setting storage.catalog, "
            "or ask for GRANT USE CATALOG ON CATALOG mian TO <you or your group>.",
        ),
        (
            "[DELTA_TABLE_NOT_FOUND] Delta table `prompt`.`captions` doesn't exist.",
            "The files of prompt.captions are gone: start again, and if that does not help run its job.",
        ),
    ],
)
def test_what_only_a_catalog_or_a_store_refuses_is_said_too(opened: SqlPrompt, message: str, sentence: str) -> None:
    lake = opened.lake
    seen = sentence_for(AnalysisException(message), lake.spark, lake.storage, needs_of(VIEWS))
    assert seen == sentence.format(root=lake.storage.root)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_says_which_job_makes_it(table: Table) -> None:
    assert (Path(jobs.__file__).parent / f"{table.job}.py").is_file()


def test_a_talk_goes_on_after_an_error_and_ends_with_exit(opened: SqlPrompt) -> None:
    typed = iter(["select count(*)", "from newest_captions;", "select (1;", "select 'after';", "exit"])
    asked = []

    def read_line(question: str) -> str:
        asked.append(question)
        return next(typed)

    prompt = prompt_on(opened.lake)
    run_interactively(prompt, read_line)
    printed = prompt.console.file.getvalue()
    assert asked == ["sql> ", "...> ", "sql> ", "sql> ", "sql> "]
    assert "newest_captions" in printed.split("End a statement with ;")[0]
    assert "│        5 │" in printed
    assert "The statement cannot be read where it ends in line 1 at character 10." in printed
    assert "│ after │" in printed


def test_a_folder_without_tables_is_said_to_have_none(spark: SparkSession, tmp_path: Path) -> None:
    empty = Lake(spark, StorageSettings(root=str(tmp_path), catalog=None, schema_name=None))
    before = spark.catalog.currentDatabase()
    spark.sql(f"create database empty location '{tmp_path}/names'")
    spark.catalog.setCurrentDatabase("empty")
    try:
        with pytest.raises(MissingInputError, match=f"there are no tables in {tmp_path}: run `make demo` first"):
            open_prompt(prompt_on(empty))
    finally:
        spark.catalog.setCurrentDatabase(before)
        spark.sql("drop database empty cascade")


def test_a_statement_on_the_command_line_is_answered_and_java_stays_silent(opened: SqlPrompt) -> None:
    command = [sys.executable, "-m", "jobs.sql_prompt", "--set", f"storage.root={opened.lake.storage.root}", "-e"]
    ended = subprocess.run([*command, "select count(*) as n from newest_captions"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "│ 5 │" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-f", "no_such.sql"], "-f no_such.sql: there is no such file"),
        (["-e", "select 1", "--set", "storage.rot=x"], "storage.rot: unknown setting"),
        (["-e", "select :x", "--param", "x"], "--param 'x': write it as name=value"),
    ],
)
def test_wrong_arguments_end_before_spark_starts(
    arguments: list[str], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in caplog.text
