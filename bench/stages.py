"""Each stage through Spark and Delta beside the bare loop: the same functions, bytes and cores in plain processes.

`python -m bench.stages [--num-drawings 2000] [--num-predicted 100] [--repetitions 3] [--stages ingest clean]`

Both are measured by turns in one run, on a lake that is made anew each time, in a session that has been warmed up.
Nothing else may run.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyspark
import torch
from pyspark.sql import SparkSession
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from bench.timing import timed
from jobs import build_vocabulary, clean_images, ingest_images, predict_captions
from lib.captioning.image_captioning import ImageCaptioner
from lib.captions.notations import notation_named
from lib.captions.scores import with_scores
from lib.errors import NotationError
from lib.images.cleaning import clean_image, encode_png
from lib.lake.models import pretrained_model
from lib.lake.spark_session import open_spark
from lib.molecules.landing_writer import write_landing_zone
from lib.sections.images import CleaningSettings
from lib.settings import Settings, load_settings

RESULTS = Path(__file__).parent / "results" / "stages.json"
NUM_PAIRS = 200_000  # of captions, for the scores
NUM_WARM_UP = 40


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=2_000, help="to ingest and clean (default: %(default)s)")
    parser.add_argument("--num-predicted", type=int, default=100, help="to caption (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="default: all")
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        zones = {}
        for num in (NUM_WARM_UP, arguments.num_predicted, arguments.num_drawings):
            zones[num] = Path(folder) / f"landing-{num}"
            settings = load_settings("molecules", "local", [f"drawing.num_drawings={num}", "landing.path=x"])
            write_landing_zone(settings.drawing, str(zones[num]))
        spark_settings = settings_of(zones[NUM_WARM_UP], Path(folder) / "lake").spark
        with open_spark(spark_settings, "bench-stages") as spark:
            for name in arguments.stages:
                stage = STAGES[name]
                num_images = arguments.num_predicted if name == "predict" else arguments.num_drawings
                stage(spark, zones[NUM_WARM_UP], Path(folder))
                measured = [stage(spark, zones[num_images], Path(folder)) for _ in range(arguments.repetitions)]
                rows[name] = summary(measured)
                show({name: rows[name]})
    result = {
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": {"pyspark": pyspark.__version__, "torch": torch.__version__},
        "num_drawings": arguments.num_drawings,
        "num_predicted": arguments.num_predicted,
        "num_pairs": NUM_PAIRS,
        "stages": rows,
    }
    show(rows)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


class Measured:
    """How many rows a stage took how long, through Spark and in the bare loop."""

    def __init__(self, num_rows: int, seconds: float, bare_seconds: float) -> None:
        self.per_second = num_rows / seconds
        self.bare_per_second = num_rows / bare_seconds


def summary(measured: Sequence[Measured]) -> dict[str, float]:
    """Medians, and the spread of the ratio over the repetitions."""
    ratios = [one.per_second / one.bare_per_second for one in measured]
    return {
        "images_per_second": round(float(np.median([one.per_second for one in measured])), 1),
        "bare_images_per_second": round(float(np.median([one.bare_per_second for one in measured])), 1),
        "ratio_to_bare_loop": round(float(np.median(ratios)), 3),
        "least_ratio": round(min(ratios), 3),
        "greatest_ratio": round(max(ratios), 3),
    }


def settings_of(zone: Path, lake: Path, *more: str) -> Settings:
    """The settings of the demo on this landing zone and lake, with the pretrained model, and more."""
    overrides = [f"landing.path={zone}", f"storage.root={lake}", "prediction.model_version=pretrained", *more]
    return load_settings("molecules", "local", overrides)


def measure_ingest(spark: SparkSession, zone: Path, folder: Path) -> Measured:
    """Archives to images_raw, with captions; bare: members read and hashed."""
    with tempfile.TemporaryDirectory(dir=folder) as lake:
        settings = settings_of(zone, Path(lake))
        seconds = timed(lambda: ingest_images.run(spark, settings))
    paths = images_of(zone)
    return Measured(len(paths), seconds, bare(digest_all, paths))


def measure_clean(spark: SparkSession, zone: Path, folder: Path) -> Measured:
    """images_raw to images_clean; bare: the same cleaning."""
    with tempfile.TemporaryDirectory(dir=folder) as lake:
        settings = settings_of(zone, Path(lake))
        ingest_images.run(spark, settings)
        seconds = timed(lambda: clean_images.run(spark, settings))
    paths = images_of(zone)
    return Measured(len(paths), seconds, bare(partial(clean_all, settings=settings.cleaning), paths))


def measure_vocabulary(spark: SparkSession, zone: Path, folder: Path) -> Measured:
    """captions to the vocabulary; bare: the same captions written in the notation."""
    with tempfile.TemporaryDirectory(dir=folder) as lake:
        from_scratch = ("prediction.model_version=current", "training.start_from=null")  # else no vocabulary is made
        settings = settings_of(zone, Path(lake), *from_scratch)
        ingest_images.run(spark, settings)
        seconds = timed(lambda: build_vocabulary.run(spark, settings))
        rows = spark.read.format("delta").load(f"{lake}/captions").where("split = 'train'").select("caption").collect()
    captions = [row.caption for row in rows]
    write = partial(write_all, notation_name=settings.captions.notation)
    return Measured(len(captions), seconds, bare(write, captions))


def measure_predict(spark: SparkSession, zone: Path, folder: Path) -> Measured:
    """images_clean to caption_predictions; bare: the captioner over the cleaned images, loaded before."""
    with tempfile.TemporaryDirectory(dir=folder) as lake:
        settings = settings_of(zone, Path(lake))
        ingest_images.run(spark, settings)
        clean_images.run(spark, settings)
        seconds = timed(lambda: predict_captions.run(spark, settings))
        columns = ("image", "larger_image", "rotation_deg")
        rows = spark.read.format("delta").load(f"{lake}/images_clean").select(*columns).collect()
    images = [(bytes(row.image), row.larger_image and bytes(row.larger_image), row.rotation_deg) for row in rows]
    return Measured(len(images), seconds, bare(caption_all, images))


def measure_score(spark: SparkSession, _zone: Path, _folder: Path) -> Measured:
    """Edit distances of pairs of captions; bare: rapidfuzz."""
    rng = np.random.default_rng(0)
    letters = np.array(list("CHNO=()123456,-/"))
    texts = ["InChI=1S/" + "".join(rng.choice(letters, 70)) for _ in range(2_000)]
    pairs = [(str(index), texts[index % 2_000], texts[(7 * index) % 2_000]) for index in range(NUM_PAIRS)]
    columns = "image_id string, caption string, other string"
    rows = (
        spark.createDataFrame(pairs, columns).repartition(2 * spark.sparkContext.defaultParallelism).localCheckpoint()
    )
    captions = rows.selectExpr("image_id", "0 as caption_index", "other as caption", "'train' as split")
    seconds = timed(lambda: with_scores(rows.drop("other"), captions).write.format("noop").mode("overwrite").save())
    return Measured(len(pairs), seconds, bare(distances, pairs))


STAGES: dict[str, Callable[[SparkSession, Path, Path], Measured]] = {
    "ingest": measure_ingest,
    "clean": measure_clean,
    "vocabulary": measure_vocabulary,
    "predict": measure_predict,
    "score": measure_score,
}


def bare(work: Callable[[list[Any]], float], items: list[Any]) -> float:
    """Seconds of the slowest of as many processes as there are cores, each with its part of the items."""
    num_cores = os.cpu_count() or 1
    with ProcessPoolExecutor(num_cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(work, [items[:1]] * num_cores))  # what a process does once, it has done
        return max(pool.map(work, [items[core::num_cores] for core in range(num_cores)]))


def images_of(zone: Path) -> list[tuple[str, str]]:
    """Archive and member of each image of a landing zone."""
    return [
        (str(archive), member)
        for archive in sorted(zone.glob("*.zip"))
        for member in zipfile.ZipFile(archive).namelist()
        if member.endswith(".png")
    ]


def read_all(paths: list[tuple[str, str]]) -> list[bytes]:
    """The bytes of the images, in their order."""
    archives = {archive: zipfile.ZipFile(archive) for archive, _ in paths}
    return [archives[archive].read(member) for archive, member in paths]


def digest_all(paths: list[tuple[str, str]]) -> float:
    """Read and hash the images; seconds."""
    return timed(lambda: [hashlib.sha256(image).hexdigest() for image in read_all(paths)])


def clean_all(paths: list[tuple[str, str]], settings: CleaningSettings) -> float:
    """Clean the images, which are read before; seconds."""
    images = read_all(paths)
    return timed(lambda: [encode_png(clean_image(image, settings).pixels) for image in images])


def write_all(captions: list[str], notation_name: str) -> float:
    """Write the captions in the notation; seconds."""
    notation = notation_named(notation_name)

    def write() -> None:
        for caption in captions:
            try:
                notation.write(caption, None, 0)
            except NotationError:
                continue

    return timed(write)


@lru_cache(maxsize=1)
def captioner_of() -> ImageCaptioner:
    """The pretrained model, loaded once in each process of the bare loop."""
    prediction = load_settings("molecules", "local", ["landing.path=x", "storage.root=x"]).prediction
    torch.set_num_threads(prediction.threads_per_worker)
    return ImageCaptioner(pretrained_model("molecules", "the bench").directory, prediction)


def caption_all(images: list[tuple[bytes, bytes | None, int]]) -> float:
    """Caption rows of images_clean as Spark's workers do; seconds without loading the model."""
    captioner = captioner_of()
    return timed(lambda: captioner.caption([captioner.stored(*row) for row in images]))


def distances(pairs: list[tuple[str, str, str]]) -> float:
    """Edit distances of the pairs; seconds."""
    return timed(lambda: [Levenshtein.distance(caption, other) for _, caption, other in pairs])


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print the stages as a table."""
    table = Table("stage", "rows/s", "bare loop", "ratio", "least", "greatest", title="all cores")
    for name, row in rows.items():
        rates = (f"{row[key]:,.1f}" for key in ("images_per_second", "bare_images_per_second"))
        ratios = (f"{row[key]:.2f}" for key in ("ratio_to_bare_loop", "least_ratio", "greatest_ratio"))
        table.add_row(name, *rates, *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
