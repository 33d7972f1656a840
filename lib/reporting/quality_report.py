"""The report on a model's captions: one HTML file that needs no network, made from the tables alone."""

import logging
from functools import partial
from pathlib import Path

import jinja2
import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Row

from lib.captions.predictors import CONSTANT_CAPTION, LABELS, MODEL
from lib.captions.scores import scores_by_predictor, with_known_reference
from lib.errors import CaptionlakeError
from lib.fingerprints import fingerprint
from lib.lake.delta_tables import Lake
from lib.lake.row_fingerprints import fingerprint_of_rows
from lib.lake.schemas import REJECTION_REASONS, TABLES
from lib.reporting.charts import COLOURS
from lib.reporting.gallery import SheetsOf, ShownImage, choose_images, with_attention
from lib.reporting.headline import FIGURES, headline, is_of_sentences, verdict
from lib.reporting.report_charts import report_charts
from lib.reporting.sentence_confidence import cider_deciles, ciders_of
from lib.sections.images import CleaningSettings
from lib.sections.reporting import ReportSettings
from model.errors import ModelError
from model.whole_writes import written_whole

logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("quality_report.html.jinja")
SPLITS = ("test", "validation", "train")  # the first that was evaluated is the one the headline is about
SAMPLE = "A fair sample, drawn by a hash of the image's name; it may repeat images from above."
FORMATS = {
    "score": "{:.2f}",
    "metric": "{:.3f}",
    "distance": "{:.1f}",
    "rounded": "{:.0f}",
    "count": "{:,}",
    "percent": "{:.1%}",
}

Evaluations = dict[str, dict[str, Row]]  # split, predictor


def write_report(
    lake: Lake,
    settings: ReportSettings,
    cleaning: CleaningSettings,
    model_version: str,
    sheets_of: SheetsOf | None = None,
) -> Path | None:
    """Write the report on a model, unless it is there already; None if it has captioned nothing.

    Without evaluations it shows images with captions, and no score. `sheets_of` draws where the model's attention
    looked; without it nothing of that is shown. Images are decoded as cleaning does.
    """
    predictions = lake.read("caption_predictions").where(F.col("model_version") == model_version)
    num_predicted = predictions.count()
    if not num_predicted:
        logger.info("no report is written: model %s has captioned no image", model_version)
        return None
    evaluations = _evaluations_of(lake.read("evaluations"), model_version)
    path = Path(lake.storage.root) / "reports" / f"{model_version}.html"
    template = TEMPLATE.read_text(encoding="utf-8")
    shown = {
        "num_predicted": num_predicted,
        "evaluations": evaluations,
        "rejections": _rejections(lake),
        "tables": [(table, lake.read(name).count()) for name, table in TABLES.items() if lake.has(name)],
    }
    drawn = [fingerprint_of_rows(rows) for rows in _drawn_rows(lake, predictions, model_version)]
    stamp = fingerprint(str(shown), drawn, settings, template)
    if path.is_file() and f'content="{stamp}"' in path.read_text(encoding="utf-8")[:1000]:
        logger.info("the report is up to date: %s", path)
        return path
    ciders = _ciders(lake, predictions, evaluations)
    gallery, is_whole = _gallery(
        lake, predictions, next(iter(evaluations), None), ciders, settings, cleaning, sheets_of
    )
    figures = {
        "model_version": model_version,
        **shown,
        "predictors": list(LABELS),
        "labels": LABELS,
        "colours": COLOURS,
        "reasons": REJECTION_REASONS,
        **(_scored_figures(lake, predictions, evaluations, ciders) if evaluations else _unscored_figures(predictions)),
        "gallery": gallery,
        "stamp": stamp if is_whole else "",  # one that lacks something is not up to date next time
    }
    with written_whole(path) as file:
        file.write_text(_environment().from_string(template).render(**figures), encoding="utf-8")
    logger.info("the report is in %s", path)
    return path


def _drawn_rows(lake: Lake, predictions: DataFrame, model_version: str) -> list[DataFrame]:
    """What charts and gallery are drawn from, but for the images, which their cleaning names."""
    clean = lake.read("images_clean").select("image_id", "cleaning_version")
    metrics = lake.read("training_metrics").where(F.col("run_id") == model_version)
    return [predictions, lake.read("captions"), clean, metrics]


def _ciders(lake: Lake, predictions: DataFrame, evaluations: Evaluations) -> dict[str, float]:
    """CIDEr by image_id of the split to show first; empty where captions are not scored as sentences."""
    split = next(iter(evaluations), None)
    if split is None or not is_of_sentences(evaluations[split]):
        return {}
    return ciders_of(predictions, lake.read("captions"), split)


def _scored_figures(
    lake: Lake, predictions: DataFrame, evaluations: Evaluations, ciders: dict[str, float]
) -> dict[str, object]:
    """The template's values for a model with scores."""
    split = next(iter(evaluations))
    model, constant = evaluations[split][MODEL], evaluations[split][CONSTANT_CAPTION].control_caption
    captions = lake.read("captions")
    scores = scores_by_predictor(with_known_reference(predictions, captions), captions, constant)
    tenths = cider_deciles(predictions, ciders, split) if ciders else None
    return {
        "split": split,
        "model": model,
        "control_caption": constant,
        "verdict": verdict(evaluations[split]),
        "is_sentences": is_of_sentences(evaluations[split]),
        "headline": headline(evaluations[split]),
        "charts": report_charts(lake, scores.where(F.col("split") == split), tenths, model.model_version),
    }


def _unscored_figures(predictions: DataFrame) -> dict[str, object]:
    """The template's values for a model without scores: no captioned image has a reference."""
    mean = predictions.agg(F.avg(F.col("is_valid").cast("double")), F.avg("confidence")).collect()[0]
    cards = [
        (label, meaning, kind, dict.fromkeys(LABELS) | {MODEL: value})
        for (label, meaning, kind, _), value in zip(FIGURES[-2:], mean, strict=True)
    ]
    return {
        "split": None,
        "model": None,
        "control_caption": None,
        "verdict": None,
        "is_sentences": False,
        "headline": cards,
        "charts": [],
    }


def _gallery(
    lake: Lake,
    predictions: DataFrame,
    split: str | None,
    ciders: dict[str, float],
    settings: ReportSettings,
    cleaning: CleaningSettings,
    sheets_of: SheetsOf | None,
) -> tuple[list[tuple[str, str, list[ShownImage]]], bool]:
    """(title, meaning, images) of each group that the report shows, and whether nothing is missing in them."""
    is_whole = True
    score = "CIDEr" if ciders else "similarity"
    groups = (
        {}
        if split is None
        else {
            "Best": (f"The highest {score}; among equals, the longest captions.", settings.num_best),
            "Worst": (f"The lowest {score}; among equals, the most confident.", settings.num_worst),
            "At random": (SAMPLE, settings.num_random),
        }
    )
    groups |= {
        "Least sure": ("Without a reference: the lowest confidence.", settings.num_worst),
        "Most sure": ("Without a reference: the highest confidence.", settings.num_best),
        "At random, without a reference": (SAMPLE, settings.num_random),
    }
    numbers = {title: number for title, (_, number) in groups.items()}
    chosen = choose_images(lake, predictions, split, numbers, ciders, cleaning)
    if sheets_of and settings.num_with_attention:
        try:
            with_attention(lake, chosen, settings.num_with_attention, sheets_of)
        except (CaptionlakeError, ModelError) as error:
            logger.warning("the report does not show where attention looked: %s", error)
            is_whole = False
    return [(title, meaning, chosen[title]) for title, (meaning, _) in groups.items() if chosen[title]], is_whole


def _evaluations_of(evaluations: DataFrame, model_version: str) -> Evaluations:
    """The evaluations of a model, the split to show first in front."""
    rows = (
        evaluations.where(F.col("model_version") == model_version)
        .withColumn("evaluated_at", F.date_format("evaluated_at", "yyyy-MM-dd HH:mm:ss"))
        .orderBy("split", "predictor")
        .collect()
    )
    return {
        split: {row.predictor: row for row in rows if row.split == split}
        for split in SPLITS
        if any(row.split == split for row in rows)
    }


def _rejections(lake: Lake) -> list[Row]:
    rejected = lake.read("images_rejected").groupBy("stage", "reason").agg(F.count("*").alias("num_rejected"))
    return rejected.orderBy(F.desc("num_rejected"), "stage", "reason").collect()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for kind in FORMATS:
        environment.filters[kind] = partial(_formatted, kind=kind)
    environment.filters["format_as"] = _formatted
    return environment


def _formatted(value: float | None, kind: str) -> str:
    return "–" if value is None else FORMATS[kind].format(value)
