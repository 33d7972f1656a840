"""The summary at the end of a pipeline run: rows per table, scores beside controls, path of the report."""

from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pyspark.sql.functions as F
from pyspark.sql import Row
from rich.console import Console
from rich.table import Table

from lib.captions.predictors import LABELS
from lib.lake.delta_tables import Lake

COUNTED_TABLES = ("images_raw", "images_clean", "captions", "vocabulary", "caption_predictions")
STAGES = ("ingest", "clean")

# Column of evaluations to heading and decimals; with either, the table fits a terminal of 80 columns.
EDIT_SCORES = {
    "exact_match": ("exact", 3),
    "mean_edit_distance": ("mean edit distance", 1),
    "mean_similarity": ("mean similarity", 3),
}
SENTENCE_SCORES = {"bleu_1": ("BLEU-1", 3), "bleu_4": ("BLEU-4", 3), "meteor": ("METEOR", 3), "cider": ("CIDEr", 3)}


class PipelineSummary(NamedTuple):
    """`evaluations` are the rows of the model in use; none before its first evaluation."""

    num_rows: dict[str, int]
    num_rejected: dict[str, int]
    evaluations: list[Row]
    storage_root: str
    reasons: dict[str, int]  # number of rejected images and captions by reason


def print_summary(lake: Lake, model_version: str | None) -> None:
    """Print what the lake holds as small tables on stdout, with the scores of the model in use if there is one."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    summary = summarise_pipeline(lake, model_version)
    console.print(_rows_table(summary))
    console.print(whereabouts_of_images(summary))
    if summary.reasons:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(summary.reasons.items()))
        console.print(f"Rejected: {counts}. The table images_rejected names each with its reason.")
    if summary.evaluations:
        console.print(_scores_table(summary))
    else:
        console.print("No scores: no captioned image has a reference caption.")
    report = f"{summary.storage_root.rstrip('/')}/reports/{model_version}.html"
    if Path(report).is_file():
        console.print(f"Report: {report}")


def summarise_pipeline(lake: Lake, model_version: str | None) -> PipelineSummary:
    """Count the rows and read the scores of the model."""
    rejected = lake.read("images_rejected").groupBy("stage", "reason").count().collect()
    by_stage, by_reason = Counter(dict.fromkeys(STAGES, 0)), Counter[str]()
    for stage, reason, count in rejected:
        by_stage[stage] += count
        by_reason[reason] += count
    of_model = lake.read("evaluations").where(F.col("model_version") == F.lit(model_version)).collect()
    return PipelineSummary(
        num_rows={name: lake.read(name).count() for name in COUNTED_TABLES},
        num_rejected=by_stage,
        evaluations=sorted(of_model, key=lambda row: (row.split, list(LABELS).index(row.predictor))),
        storage_root=lake.storage.root,
        reasons=by_reason,
    )


def whereabouts_of_images(summary: PipelineSummary) -> str:
    """One line: every image of images_raw is clean or rejected, or a warning with the number that is neither."""
    num_raw, num_clean = summary.num_rows["images_raw"], summary.num_rows["images_clean"]
    num_rejected = summary.num_rejected["clean"]
    difference = num_raw - num_clean - num_rejected
    if difference == 0:
        return (
            f"Every image is accounted for: {num_raw:,} raw = {num_clean:,} clean + {num_rejected:,} rejected at clean."
        )
    return (
        f"Warning: {num_raw:,} raw is not {num_clean:,} clean + {num_rejected:,} rejected at clean "
        f"(difference {difference:,}): run clean_images."
    )


def _rows_table(summary: PipelineSummary) -> Table:
    table = Table(title="Rows", title_justify="left")
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name in COUNTED_TABLES:
        table.add_row(name, f"{summary.num_rows[name]:,}")
        if name == "images_clean":
            for stage, count in summary.num_rejected.items():
                table.add_row(f"images_rejected at {stage}", f"{count:,}")
    return table


def _scores_table(summary: PipelineSummary) -> Table:
    table = Table(title=f"Scores of model {summary.evaluations[0].model_version}", title_justify="left")
    for heading in ("split", "captions by"):
        table.add_column(heading, no_wrap=True)
    scores = SENTENCE_SCORES if any(row.cider is not None for row in summary.evaluations) else EDIT_SCORES
    for heading in ("images", *(heading for heading, _ in scores.values())):
        table.add_column(heading, justify="right")
    for row, following in zip_longest(summary.evaluations, summary.evaluations[1:]):
        table.add_row(
            row.split,
            LABELS[row.predictor],
            f"{row.num_images:,}",
            *(_score(row[column], num_decimals) for column, (_, num_decimals) in scores.items()),
            end_section=following is not None and following.split != row.split,
        )
    return table


def _score(value: float | None, num_decimals: int) -> str:
    return "none" if value is None else f"{value:.{num_decimals}f}"
