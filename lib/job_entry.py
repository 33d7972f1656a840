"""What every job does before and after its work: arguments, logging, settings, a Spark session, one-sentence errors.

Libraries are imported when they are used, here and in every job: what --help needs loads in a moment.
"""

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import yaml

from lib.child_process import end_in_order_on_sigterm
from lib.errors import CaptionlakeError
from lib.job_log import file_in_use, log_details, send_rest_to_file, show_last_lines, start_logging
from lib.settings import Settings, load_settings
from lib.storage_faults import storage_fault
from lib.temporary_folders import use_short_temporary_folder
from model.errors import ModelError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

EXIT_REFUSED = 2  # the job stopped for a reason that its message explains


def argument_parser(job: str, description: str) -> argparse.ArgumentParser:
    """The arguments that every job takes."""
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{job}", description=description)
    parser.add_argument("--dataset", default="molecules", help="settings of conf/datasets (default: %(default)s)")
    parser.add_argument("--environment", default="local", help="settings of conf/environments (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override one setting, such as landing.path=/data/arrived; may be repeated",
    )
    parser.add_argument("--verbose", action="store_true", help="show settings and all that libraries say, too")
    parser.set_defaults(job=job)
    parser.add_argument("--conf", default=None, metavar="FOLDER", help="folder of the settings files (default: conf/)")
    return parser


def whole_number(text: str) -> int:
    """An argument's number. Raises ArgumentTypeError unless it is a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def settings_named(arguments: argparse.Namespace) -> Settings:
    """Load the settings that the arguments name, for a command that does its work on the terminal."""
    return load_settings(arguments.dataset, arguments.environment, arguments.overrides, arguments.conf)


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Load the settings that the arguments name and log them.

    From here on the terminal shows what is done and a file of storage.root gets the rest, unless --verbose is given.
    """
    settings = settings_named(arguments)
    if not arguments.verbose:
        send_rest_to_file(settings.storage.root, arguments.job)
    log_details(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    return settings


def start_process() -> None:
    """Log to standard error; end in order when told to."""
    end_in_order_on_sigterm()
    start_logging()


def exit_with_one_sentence(work: Callable[[], None]) -> None:
    """Run `work`; a named fact or a missing right ends the process with one sentence, all else with its traceback.

    A traceback that goes to a log file ends the process with the last lines of that file.
    """
    try:
        use_short_temporary_folder()
        work()
    except (CaptionlakeError, ModelError) as error:
        logger.error("%s: %s", type(error).__name__, error)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        logger.error("stopped by the keyboard; run the same command again to continue")
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("pyspark", "py4j"):
            from lib.sql.errors import SqlRefusedError, what_to_ask_for

            if (sentence := what_to_ask_for(error)) is not None:
                logger.error("%s: %s", SqlRefusedError.__name__, sentence)
                sys.exit(EXIT_REFUSED)
        if (fault := storage_fault(str(error))) is not None:
            logger.error("%s: %s", type(fault).__name__, fault)
            sys.exit(EXIT_REFUSED)
        if file_in_use() is None:
            raise
        traceback.print_exc()
        show_last_lines()
        sys.exit(1)


def main_of(
    job: str, description: str, run: "Callable[[SparkSession, Settings], None]", argv: Sequence[str] | None = None
) -> None:
    """Run a job that needs an ordinary Spark session, and no arguments of its own, from the command line."""
    run_job(argument_parser(job, description).parse_args(argv), run)


def run_job(arguments: argparse.Namespace, run: "Callable[[SparkSession, Settings], None]") -> None:
    """Run a job that needs an ordinary Spark session as its arguments say."""
    start_process()
    job = arguments.job

    def work() -> None:
        from lib.lake.spark_session import open_spark

        settings = settings_from(arguments)
        with open_spark(settings.spark, job) as spark:
            run_timed(job, run, spark, settings)

    exit_with_one_sentence(work)


def run_timed(
    job: str, run: "Callable[[SparkSession, Settings], None]", spark: "SparkSession", settings: Settings
) -> None:
    """Run one job and log how long it took."""
    started = time.monotonic()
    run(spark, settings)
    logger.info("%s finished in %.1f s", job, time.monotonic() - started)
