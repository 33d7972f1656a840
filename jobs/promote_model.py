"""promote_model: the newest trained model against the current one -> model_promotions, and which model is current."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lib.job_entry import argument_parser, run_job
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(
    spark: "SparkSession", settings: Settings, candidate: str = "candidate", to: str | None = None, back: bool = False
) -> None:
    """Put `candidate` in use if it is better than the current model; or, by hand, the model `to`, or the one before."""
    from lib.captioning.model_promotion import promote_if_better
    from lib.lake.delta_tables import Lake
    from lib.lake.model_promotions import choose, roll_back
    from lib.training.model_registry import follow_models

    lake = Lake(spark, settings.storage)
    if to is not None:
        choose(lake, to, settings.dataset)
    elif back:
        roll_back(lake, settings.dataset)
    else:
        promote_if_better(lake, settings, candidate)
    follow_models(settings.storage, settings.tracking)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task promote_model."""
    parser = argument_parser("promote_model", __doc__ or "")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--candidate", metavar="MODEL", default="candidate", help="compare this one, not the newest")
    choice.add_argument("--to", metavar="MODEL", help="put this model in use without comparing, withdraw the current")
    choice.add_argument("--back", action="store_true", help="put the model before in use, withdraw the current")
    arguments = parser.parse_args(argv)
    run_job(arguments, partial(run, candidate=arguments.candidate, to=arguments.to, back=arguments.back))


if __name__ == "__main__":
    main()
