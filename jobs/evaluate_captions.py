"""evaluate_captions: caption_predictions -> evaluations and the HTML report."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Score the captions of the model in use beside the controls and write the report."""
    from lib.captions.scores import evaluate_captions
    from lib.lake.delta_tables import Lake
    from lib.lake.models import model_in_use
    from lib.reporting.quality_report import write_report

    lake = Lake(spark, settings.storage)
    model_version = model_in_use(lake, settings.prediction.model_version, settings.dataset).version
    evaluate_captions(lake, model_version, as_sentences=settings.evaluation.metrics == "sentences")
    write_report(lake, settings.report, model_version)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task evaluate_captions."""
    main_of("evaluate_captions", __doc__, run, argv)


if __name__ == "__main__":
    main()
