"""How well a model captions the official test images of Flickr8k, beside controls and published figures.

`python -m bench.photos --flickr FOLDER` (images, caption file and lists of splits as they are distributed) makes a lake
of it first, once, in --lake; `python -m bench.photos --lake LAKE` reads one that has features and captions, and writes
nothing to it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F
import torch
from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table

from jobs import clean_images, extract_features, ingest_images
from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.captions.nearest_neighbour import neighbour_captions
from lib.captions.predictors import LABELS, MODEL
from lib.captions.scores import best_constant_caption, captions_by_predictor
from lib.captions.sentence_evaluation import score_sentences
from lib.captions.sentence_scores import METRICS
from lib.errors import MissingInputError, SettingsError
from lib.images.cleaning import decode_png
from lib.images.features import IMAGES_AT_A_TIME
from lib.images.frozen_features import encoder_version_of, extract
from lib.images.packed_features import unpack_features
from lib.job_entry import argument_parser, exit_with_one_sentence, start_process
from lib.lake.delta_tables import Lake
from lib.lake.models import pretrained_model
from lib.lake.spark_session import open_spark
from lib.settings import Settings, load_settings
from model.checkpoint import load_config
from model.config import CaptionerConfig
from model.encoders import frozen_encoder

RESULTS = Path(__file__).parent / "results" / "photos.json"
NUM_TIMED = 64  # images whose features are computed again, to time it
GREEDY = "model_greedy"
# Flickr8k, as their authors give them; what a row lacks was not given. A public notebook with VGG16, GloVe and an LSTM,
# Brownlee's tutorial with VGG16 and an LSTM, and two attentions of arXiv 1502.03044.
PUBLISHED: dict[str, dict[str, float]] = {
    "a notebook": {"bleu_1": 0.48},
    "Brownlee": {"bleu_1": 0.579, "bleu_2": 0.345, "bleu_3": 0.252, "bleu_4": 0.131},
    "Xu, soft": {"bleu_1": 0.67, "bleu_2": 0.448, "bleu_3": 0.299, "bleu_4": 0.195, "meteor": 0.189},
    "Xu, hard": {"bleu_1": 0.67, "bleu_2": 0.457, "bleu_3": 0.314, "bleu_4": 0.213, "meteor": 0.203},
}


def main() -> None:
    """Read the arguments, measure, print the table and write the results."""
    start_process()
    parser = argument_parser("photos", __doc__ or "")
    parser.set_defaults(dataset="photos")
    parser.add_argument("--flickr", help="folder with Flickr8k as it is distributed")
    parser.add_argument("--lake", default="photos-lake", help="folder of the lake (default: %(default)s)")
    parser.add_argument("--model", help="directory of a checkpoint (default: the model that comes with the project)")
    parser.add_argument("--split", default="test", help="split to caption (default: %(default)s)")
    arguments = parser.parse_args()
    exit_with_one_sentence(lambda: _measure(arguments))


def _measure(arguments: argparse.Namespace) -> None:
    overrides = [*arguments.overrides, f"storage.root={arguments.lake}"]
    overrides += [f"landing.path={arguments.flickr}"] if arguments.flickr else []
    settings = load_settings(arguments.dataset, arguments.environment, overrides, arguments.conf)
    model = Path(arguments.model) if arguments.model else pretrained_model(settings.dataset, "--model").directory
    with open_spark(settings.spark, "bench-photos") as spark:
        if arguments.flickr:
            _make_lake(spark, settings)
        results = measure(Lake(spark, settings.storage), model, settings, arguments.split)
    _print(results)
    if file := file_of_results(arguments.split, arguments.model):
        file.write_text(json.dumps(results, indent=2) + "\n")
        Console(highlight=False).print(f"wrote {file}")


def file_of_results(split: str, model: str | None) -> Path | None:
    """Where results are kept; None for those of another split or model than are published."""
    return RESULTS if split == "test" and model is None else None


def measure(lake: Lake, directory: Path, settings: Settings, split: str) -> dict[str, Any]:
    """Scores of the model, read by beam and greedily, and of the controls on a split, and seconds for an image.

    Raises MissingInputError if no image of the split has features of the model's encoder, SettingsError if the settings
    ask for more than features can give.
    """
    if not settings.prediction.can_read_features:
        raise SettingsError("photos measures captions from features: leave prediction.turns_deg and scales as they are")
    captions = lake.require("captions")
    encoder = load_config(directory)
    version = encoder_version_of(directory)
    features = _features(lake, captions, version, split)
    images = [CleanedImage(unpack_features(packed)) for packed in features.values()]
    written, seconds = {}, {}
    for name, num_beams in ((MODEL, settings.prediction.num_beams), (GREEDY, 1)):
        prediction = settings.prediction.model_copy(update={"num_beams": num_beams})
        captioner = ImageCaptioner(directory, prediction)
        began = time.perf_counter()
        written[name] = [one.caption for one in captioner.caption(images)]
        seconds[name] = (time.perf_counter() - began) / len(images)
    frames = {
        name: lake.spark.createDataFrame(
            [(image_id, split, text) for image_id, text in zip(features, texts, strict=True)],
            "image_id string, split string, caption string",
        )
        for name, texts in written.items()
    }
    predictors = captions_by_predictor(
        frames[MODEL], best_constant_caption(captions), neighbour_captions(lake, frames[MODEL], captions)
    )
    greedy = frames[GREEDY].withColumn("predictor", F.lit(GREEDY))
    scores = score_sentences(predictors.unionByName(greedy), captions)
    return {
        "dataset": settings.dataset,
        "model": directory.name,
        "split": split,
        "num_images": len(images),
        "num_beams": settings.prediction.num_beams,
        "encoder": version,
        "num_threads": torch.get_num_threads(),
        "seconds_per_image": {
            "features, on one core": _seconds_of_features(lake, encoder),
            "caption by beam, from features": seconds[MODEL],
            "caption greedily, from features": seconds[GREEDY],
        },
        "scores": {predictor: of_predictor for (_, predictor), of_predictor in scores.items()},
        "published": PUBLISHED,
    }


def _make_lake(spark: SparkSession, settings: Settings) -> None:
    """Images, captions and features; what is there already is not computed again."""
    for job in (ingest_images, clean_images, extract_features):
        job.run(spark, settings)


def _features(lake: Lake, captions: DataFrame, version: str | None, split: str) -> dict[str, bytes]:
    """Packed features by image id, in order, of the images of a split as they are cleaned now."""
    of_split = captions.where(F.col("split") == split).select("image_id")
    encoded = lake.require("image_features")
    cleaned = lake.require("images_clean").select("image_id", "cleaning_version")
    rows = (
        encoded.where(F.col("encoder_version") == F.lit(version))
        .join(cleaned, on=["image_id", "cleaning_version"], how="left_semi")
        .join(of_split, on="image_id", how="left_semi")
        .select("image_id", "features")
        .collect()
    )
    if not rows:
        raise MissingInputError(
            f"no image of split {split} in {lake.storage.root}, as it is cleaned now, has features of {version}: run "
            "extract_features with the settings of that encoder"
        )
    return {row.image_id: bytes(row.features) for row in sorted(rows)}


def _seconds_of_features(lake: Lake, encoder: CaptionerConfig) -> float:
    rows = lake.require("images_clean").select("image").limit(NUM_TIMED).collect()
    images = [decode_png(bytes(row.image)) for row in rows]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of Spark's workers
    network = frozen_encoder(encoder)
    extract(images[:1], network, encoder.num_channels)  # the first takes longer
    began = time.perf_counter()
    for start in range(0, len(images), IMAGES_AT_A_TIME):
        extract(images[start : start + IMAGES_AT_A_TIME], network, encoder.num_channels)
    seconds = (time.perf_counter() - began) / len(images)
    torch.set_num_threads(num_threads)
    return seconds


def _print(results: dict[str, Any]) -> None:
    title = f"{results['num_images']:,} images, split {results['split']}, {results['num_beams']} beams"
    table = Table(title=title, title_justify="left")
    table.add_column("captions by", no_wrap=True)
    for name in METRICS:
        table.add_column(name.upper().replace("_", "-"), justify="right")
    labels = LABELS | {GREEDY: "model, greedily"}
    rows = {label: results["scores"][name] for name, label in labels.items() if name in results["scores"]}
    for label, scores in (rows | results["published"]).items():
        values = (scores.get(name) for name in METRICS)
        table.add_row(label, *("" if value is None else f"{value:.3f}" for value in values))
    console = Console(highlight=False)
    console.print(table)
    for what, seconds in results["seconds_per_image"].items():
        console.print(f"{what}: {seconds:.4f} s an image, {1 / seconds:.0f} images/s")


if __name__ == "__main__":
    main()
