"""Two models compared on the validation images that both have captioned: a paired bootstrap of the gain."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lib.captions.scores import with_scores
from lib.captions.sentence_evaluation import references_of
from lib.captions.sentence_scores import cider_by_image
from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.sections.training import PromotionSettings

SPLIT = "validation"
EDIT_DISTANCE, CIDER = "edit_distance", "cider"


class Scores(NamedTuple):
    """Of each image, in one order: the two models' scores, (n,) float64, and the image's kind."""

    candidate: np.ndarray
    champion: np.ndarray
    kinds: list[str]


class Verdict(NamedTuple):
    """Whether a candidate is better, why in one sentence, and the figures as columns of model_promotions."""

    is_better: bool
    reason: str
    figures: dict[str, Any]


def held_out_images(lake: Lake) -> DataFrame:
    """Ids of the clean images of the validation split. Raises MissingInputError if there are none."""
    clean = lake.require("images_clean").select("image_id")
    known = lake.read("captions").where((F.col("split") == SPLIT) & F.col("caption").isNotNull())
    images = clean.join(known.select("image_id"), on="image_id", how="left_semi")
    if images.isEmpty():
        raise MissingInputError(
            f"no clean image of the {SPLIT} split in {lake.storage.root} has a caption, so models cannot be compared: "
            "raise captions.validation_fraction before captions arrive, or choose with promote_model --to"
        )
    return images


def compare_models(
    lake: Lake, candidate: str, champion: str, settings: PromotionSettings, as_sentences: bool
) -> Verdict:
    """Whether the candidate writes better than the champion. `as_sentences` compares CIDEr, else edit distances.

    A missing caption counts as an empty one. Raises MissingInputError if there is no image that both have captioned,
    or if a score is no number; RuntimeMissingError if sentences cannot be scored.
    """
    metric = CIDER if as_sentences else EDIT_DISTANCE
    scores = _scores(lake, candidate, champion, as_sentences)
    if not scores.kinds:
        raise MissingInputError(
            f"there is no {SPLIT} image that both {candidate} and {champion} have captioned: run predict_captions with "
            f"--set prediction.model_version={candidate}, then with {champion}"
        )
    return judge(scores, metric, settings)


def judge(scores: Scores, metric: str, settings: PromotionSettings) -> Verdict:
    """Better is: the interval of the mean gain lies above min_gain, and no kind of image is surely worse.

    Of fewer images than min_images nothing is better: the bootstrap's interval of a few is too narrow, of one a point.
    The intervals of k kinds are as wide as makes them all true at once with settings.confidence (Bonferroni).
    Raises MissingInputError if a score is no number.
    """
    num_wrong = int((~np.isfinite(scores.candidate) | ~np.isfinite(scores.champion)).sum())
    if num_wrong:
        raise MissingInputError(
            f"the {metric} of {num_wrong} of {len(scores.kinds)} {SPLIT} images is not a number, so the models cannot "
            "be compared: look at these images' captions in caption_predictions, or choose with promote_model --to"
        )
    figures = _figures(scores.candidate, scores.champion, metric, settings)
    kinds, names = np.array(scores.kinds), sorted(set(scores.kinds))
    by_kind = [
        {"kind": name}
        | _figures(scores.candidate[kinds == name], scores.champion[kinds == name], metric, settings, len(names))
        for name in names
    ]
    worse = [one["kind"] for one in by_kind if one["num_images"] >= settings.min_images_of_kind and one["gain_to"] < 0]
    is_few = len(scores.kinds) < settings.min_images
    is_better = figures["gain_from"] > settings.min_gain and not worse and not is_few
    reason = (
        f"mean {metric} on {figures['num_images']} {SPLIT} images {figures['candidate_score']:.4f}, that of the "
        f"champion {figures['champion_score']:.4f}: the gain, {figures['gain_from']:.4f} to {figures['gain_to']:.4f}, "
        + ("is above" if figures["gain_from"] > settings.min_gain else "is not surely above")
        + f" {settings.min_gain:g}"
        + (f", but images of {' and '.join(worse)} are captioned worse" if worse else "")
        + (f"; the images are fewer than promotion.min_images, {settings.min_images}: set more apart" if is_few else "")
    )
    return Verdict(is_better, reason, figures | {"metric": metric, "by_kind": by_kind})


def gain_interval(gains: np.ndarray, settings: PromotionSettings, num_intervals: int = 1) -> tuple[float, float]:
    """Percentile interval of the mean of (n,) paired gains, over resamples of the images; one of `num_intervals`.

    Paired bootstrap: Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004.
    """
    generator = np.random.default_rng(settings.seed)
    num = len(gains)
    means = [gains[generator.integers(num, size=num)].mean() for _ in range(settings.num_resamples)]
    tail = (1 - settings.confidence) / 2 / num_intervals
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _figures(
    candidate: np.ndarray, champion: np.ndarray, metric: str, settings: PromotionSettings, num_intervals: int = 1
) -> dict[str, Any]:
    gains = candidate - champion if metric == CIDER else champion - candidate
    low, high = gain_interval(gains, settings, num_intervals)
    return {
        "num_images": len(gains),
        "candidate_score": float(candidate.mean()),
        "champion_score": float(champion.mean()),
        "gain_from": low,
        "gain_to": high,
    }


def _scores(lake: Lake, candidate: str, champion: str, as_sentences: bool) -> Scores:
    """Scores of the images that both have captioned as they are now, against the references that stand now."""
    captions = lake.read("captions").where(F.col("split") == SPLIT)
    clean = lake.read("images_clean").select("image_id", "cleaning_version")
    predictions = lake.require("caption_predictions")
    of_both = (
        predictions.where(F.col("model_version").isin(candidate, champion))
        .join(clean, on=["image_id", "cleaning_version"], how="left_semi")
        .select("image_id", "model_version", F.coalesce("caption", F.lit("")).alias("caption"))
    )
    kinds = captions.groupBy("image_id").agg(F.min_by("source", "caption_index").alias("kind"))
    rows = with_scores(of_both, captions).where("edit_distance is not null").join(kinds, on="image_id").collect()
    written: dict[str, dict[str, Any]] = {candidate: {}, champion: {}}
    for row in rows:
        written[row.model_version][row.image_id] = row
    shared = sorted(written[candidate].keys() & written[champion].keys())
    score_of: Sequence[Mapping[str, float]]
    if as_sentences:
        references = references_of(captions, SPLIT)
        score_of = [
            cider_by_image({image: written[model][image].caption for image in shared}, references)
            for model in (candidate, champion)
        ]
        shared = [image for image in shared if image in score_of[0]]  # whose references have a word
    else:
        score_of = [{image: written[model][image].edit_distance for image in shared} for model in (candidate, champion)]
    of_candidate, of_champion = (np.array([one[image] for image in shared], dtype=np.float64) for one in score_of)
    return Scores(of_candidate, of_champion, [written[candidate][image].kind or "unknown" for image in shared])
