"""evaluate_captions: caption_predictions -> evaluations, the HTML report and metrics for Prometheus."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Score the captions of the model in use beside the controls; write the report, and metrics by views of sql/."""
    from lib.captioning.attention_sheet import attention_sheets
    from lib.captions.scores import evaluate_captions
    from lib.lake.delta_tables import Lake
    from lib.lake.models import model_in_use
    from lib.reporting.quality_report import write_report
    from lib.sql.batch_metrics import write_batch_metrics
    from lib.sql_folder import sql_folder
    from lib.training.model_registry import attach_report

    lake = Lake(spark, settings.storage)
    model_version, checkpoint = model_in_use(lake, settings.prediction.model_version, settings.dataset)
    evaluate_captions(lake, model_version, as_sentences=settings.evaluation.scores_sentences)
    sheets_of = partial(attention_sheets, checkpoint=checkpoint, settings=settings.prediction)
    if report := write_report(lake, settings.report, settings.cleaning, model_version, sheets_of):
        attach_report(settings.storage, settings.tracking, model_version, report)
    write_batch_metrics(lake, model_version, sql_folder(settings.conf))


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task evaluate_captions."""
    main_of("evaluate_captions", __doc__ or "", run, argv)


if __name__ == "__main__":
    main()
