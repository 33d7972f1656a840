"""Figures of the tables as a file in Prometheus' text format, for the textfile collector of its node exporter."""

import time
from collections.abc import Sequence
from pathlib import Path

import pyspark.sql.functions as F

from lib.lake.delta_tables import Lake
from lib.lake.drift_limits import NUM_TELLING
from lib.sql.views import read_views
from lib.sql_folder import SQL
from model.whole_writes import written_whole

COUNTED_TABLES = ("images_raw", "images_clean", "captions", "caption_predictions")
READ_TABLES = ("images_raw", "images_rejected", "caption_predictions")  # by the views
SCORES = ("exact_match", "mean_edit_distance", "cider")  # columns of evaluations
METRICS = {
    "captionlake_rows": "Rows of a table.",
    "captionlake_rejected": "Images and captions rejected.",
    "captionlake_exact_match": "Fraction of captions equal to the reference.",
    "captionlake_mean_edit_distance": "Mean edit distance in characters.",
    "captionlake_cider": "CIDEr of sentences.",
    "captionlake_confidence_psi": "Stability index of the confidences of the newest day with "
    f"{NUM_TELLING} captions or more, against as many of validation images.",
    "captionlake_batch_time_seconds": "When these figures were written, in seconds since 1970.",
}

Values = Sequence[tuple[dict[str, str], float]]  # labels and value


def write_batch_metrics(lake: Lake, model_version: str, sql: Path = SQL) -> Path:
    """Write metrics/captionlake.prom: rows, rejected images, and the model's scores and drift of confidence.

    Raises SettingsError if the folder `sql` has no views.
    """
    values = _values(lake, model_version, sql)
    path = Path(lake.storage.root) / "metrics" / "captionlake.prom"
    with written_whole(path) as written:
        written.write_text("".join(as_text(name, values[name]) for name in METRICS), encoding="utf-8")
    return path


def as_text(name: str, values: Values) -> str:
    """The metric in Prometheus' text format; nothing without values."""
    lines = [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge"]
    for labels, value in values:
        written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{written}}} {float(value)!r}" if written else f"{name} {float(value)!r}")
    return "\n".join(lines) + "\n" if values else ""


def _values(lake: Lake, model_version: str, sql: Path) -> dict[str, Values]:
    # A session of its own, in which the views' text reads the lake's tables by their bare names.
    session = lake.spark.newSession()
    own = Lake(session, lake.storage)
    for name in READ_TABLES:
        own.read(name).createOrReplaceTempView(name)
    queries = {view.name: view.query for view in read_views(sql)}
    rejected = session.sql(queries["rejects_by_reason"]).orderBy("stage", "reason").collect()
    of_model = F.col("model_version") == model_version
    is_telling = of_model & (F.least("num_captions", "num_validation_captions") >= NUM_TELLING)
    drift = (
        session.sql(queries["confidence_drift"])
        .where(is_telling & F.col("psi").isNotNull())
        .orderBy(F.desc("day"))
        .limit(1)
        .collect()
    )
    scored = own.read("evaluations").where(of_model & (F.col("predictor") == "model")).orderBy("split").collect()
    return {
        "captionlake_rows": [({"table": name}, own.read(name).count()) for name in COUNTED_TABLES],
        "captionlake_rejected": [({"stage": row.stage, "reason": row.reason}, row.num_rejected) for row in rejected],
        **{
            f"captionlake_{score}": [
                ({"model_version": model_version, "split": row.split}, row[score])
                for row in scored
                if row[score] is not None
            ]
            for score in SCORES
        },
        "captionlake_confidence_psi": [({"model_version": model_version}, row.psi) for row in drift],
        "captionlake_batch_time_seconds": [({}, time.time())],
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
