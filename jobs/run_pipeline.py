"""run_pipeline: every task of the bundle's job, in order, on this machine."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lib.child_process import run_child
from lib.errors import MissingInputError
from lib.job_entry import argument_parser, exit_with_one_sentence, logger, run_timed, settings_from, start_process
from lib.settings import CONF, load_settings
from lib.task_graph import local_arguments, read_task_graph, select_tasks

USE_A_MODEL = ("predict_captions", "evaluate_captions")  # both the same one, whatever is trained meanwhile elsewhere
OWN_PROCESS = ("train_captioner",)  # RayDP's Spark cannot share a process with the session of the other jobs


def run_pipeline(arguments: argparse.Namespace) -> None:
    """Run the chosen tasks in one Spark session, then print what the lake holds, and where the captions are."""
    from lib.captions.reviewed_captions import why_nothing_is_learned
    from lib.lake.delta_tables import Lake
    from lib.lake.models import lasting_name, model_in_use, names_a_checkpoint
    from lib.lake.spark_session import open_spark
    from lib.reporting.pipeline_summary import print_summary
    from lib.sql.captions_file import write_captions_file
    from lib.sql_folder import sql_folder

    tasks = select_tasks(read_task_graph(Path(arguments.conf or CONF)), arguments.only, arguments.start)
    settings = settings_from(arguments)
    given = ["--dataset", arguments.dataset, "--environment", arguments.environment]
    given += [word for override in arguments.overrides for word in ("--set", override)]
    given += ["--conf", arguments.conf] if arguments.conf else []
    given += ["--verbose"] if arguments.verbose else []
    name = settings.prediction.model_version
    with open_spark(settings.spark, "run_pipeline") as spark:
        lake = Lake(spark, settings.storage)
        if any(task.entry_point in USE_A_MODEL for task in tasks) and names_a_checkpoint(name):
            model_in_use(lake, name, settings.dataset)  # if there is none of that name, no task begins
        for number, task in enumerate(tasks, start=1):
            logger.info("[%d/%d] %s", number, len(tasks), task.task_key)
            local = local_arguments(task, given)
            if task.entry_point in OWN_PROCESS:
                if why := why_nothing_is_learned(lake, settings.prediction.model_version, settings.captions):
                    logger.info("nothing is trained: %s", why)
                    continue
                run_child(task.task_key, [sys.executable, "-m", f"jobs.{task.entry_point}", *local])
            else:
                if task.entry_point in USE_A_MODEL:
                    name = lasting_name(model_in_use(lake, name, settings.dataset))
                    local += ["--set", f"prediction.model_version={name}"]
                own = argument_parser(task.entry_point, "").parse_args(local)
                own_settings = load_settings(own.dataset, own.environment, own.overrides, own.conf)
                run_timed(task.entry_point, import_module(f"jobs.{task.entry_point}").run, spark, own_settings)
        try:
            model_version = model_in_use(lake, name, settings.dataset).version
        except MissingInputError:  # nothing is trained yet, with --only ingest_images say
            model_version = None
        print_summary(lake, model_version)
        if model_version and (file := write_captions_file(lake, model_version, sql_folder(settings.conf))):
            print(f"Captions: {file}")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What every job takes, and which tasks to run."""
    parser = argument_parser("run_pipeline", "Run every task of the bundle's job, in order, on this machine.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", metavar="TASK", help="run this task alone")
    choice.add_argument("--from", metavar="TASK", dest="start", help="run this task and those after it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the pipeline from the command line."""
    start_process()
    arguments = parse_arguments(argv)
    exit_with_one_sentence(lambda: run_pipeline(arguments))


if __name__ == "__main__":
    main()
