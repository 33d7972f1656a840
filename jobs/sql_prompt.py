"""sql_prompt: SQL on the lake's tables and views, typed at a prompt or given with -e or -f; it only reads."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lib.errors import SettingsError
from lib.job_entry import argument_parser, exit_with_one_sentence, settings_named


def run_prompt(arguments: argparse.Namespace) -> None:
    """Open the lake and answer what was given, or whatever is typed."""
    from lib.lake.delta_tables import Lake
    from lib.lake.spark_session import open_spark
    from lib.sql.display import open_console
    from lib.sql.prompt import SqlPrompt, java_output_in_a_file, open_prompt, run_all, run_interactively, silence_spark
    from lib.sql.views import read_views
    from lib.sql_folder import sql_folder

    text, values = statement_text(arguments), parameters(arguments.param)
    settings = settings_named(arguments)
    views = read_views(sql_folder(settings.conf))
    console = open_console()
    with ExitStack() as stack:
        with console.status("starting Spark"), java_output_in_a_file():
            spark = stack.enter_context(open_spark(settings.spark, "sql_prompt"))
        silence_spark(spark)
        lake = Lake(spark, settings.storage)
        prompt = SqlPrompt(lake, views, console, arguments.rows, values)
        with console.status("opening the tables"):
            open_prompt(prompt)
        if text is None:
            run_interactively(prompt)
        else:
            run_all(prompt, text)


def statement_text(arguments: argparse.Namespace) -> str | None:
    """What -e or -f gives, or what is piped in; None on a terminal."""
    if arguments.execute is not None:
        return str(arguments.execute)
    if arguments.file is not None:
        if not Path(arguments.file).is_file():
            raise SettingsError(f"-f {arguments.file}: there is no such file")
        return Path(arguments.file).read_text()
    return None if sys.stdin.isatty() else sys.stdin.read()


def parameters(given: Sequence[str]) -> dict[str, str]:
    """Values by name from name=value. Raises SettingsError where there is no `=`."""
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise SettingsError(f"--param {name!r}: write it as name=value")
    return {name: value for name, _, value in pairs}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and open the prompt."""
    parser = argument_parser("sql_prompt", "SQL on the lake's tables and views; it only reads.")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("-e", "--execute", metavar="SQL", help="run these statements and leave")
    given.add_argument("-f", "--file", metavar="FILE", help="run the statements of this file and leave")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of :NAME in a statement; may be repeated",
    )
    parser.add_argument("--rows", type=int, default=100, help="rows shown of an answer (default: %(default)s)")
    arguments = parser.parse_args(argv)
    exit_with_one_sentence(lambda: run_prompt(arguments))


if __name__ == "__main__":
    main()
