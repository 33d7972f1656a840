"""Whether a candidate is better, by paired bootstrap: numbers alone."""

import numpy as np
import pytest

from lib.captions.model_comparison import Scores, gain_interval, judge
from lib.errors import MissingInputError
from lib.sections.training import PromotionSettings

SETTINGS = PromotionSettings(
    decided_by="comparison",
    min_gain=0.0,
    confidence=0.95,
    num_resamples=2000,
    min_images=30,
    min_images_of_kind=30,
    seed=0,
)


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many_images() -> None:
    gains = np.random.default_rng(1).normal(0.5, 2.0, size=400)
    half = 1.96 * gains.std() / 20
    assert gain_interval(gains, SETTINGS) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.03)


def test_the_same_seed_gives_the_same_interval_and_several_intervals_are_wider() -> None:
    gains = np.random.default_rng(1).normal(size=50)
    low, high = gain_interval(gains, SETTINGS)
    assert (low, high) == gain_interval(gains, SETTINGS)
    wide_low, wide_high = gain_interval(gains, SETTINGS, num_intervals=10)
    assert wide_low < low < high < wide_high


@pytest.mark.parametrize(("metric", "is_better"), [("edit_distance", False), ("cider", True)])
def test_more_is_better_of_cider_and_worse_of_edit_distances(metric: str, is_better: bool) -> None:
    champion = np.random.default_rng(2).normal(size=100)
    verdict = judge(Scores(champion + 1, champion, ["a"] * 100), metric, SETTINGS)
    assert verdict.is_better is is_better
    assert verdict.figures["metric"] == metric


def test_a_kind_of_few_images_is_shown_and_decides_nothing() -> None:
    champion = np.zeros(100)
    candidate = np.where(np.arange(100) < 20, -1.0, 1.0)
    kinds = ["few" if number < 20 else "many" for number in range(100)]
    assert judge(Scores(candidate, champion, kinds), "cider", SETTINGS).is_better
    strict = SETTINGS.model_copy(update={"min_images_of_kind": 20})
    verdict = judge(Scores(candidate, champion, kinds), "cider", strict)
    assert not verdict.is_better
    assert [one["kind"] for one in verdict.figures["by_kind"]] == ["few", "many"]
    assert "images of few are captioned worse" in verdict.reason


@pytest.mark.parametrize(("num_images", "is_better"), [(1, False), (29, False), (30, True)])
def test_a_few_images_do_not_show_that_a_model_is_better(num_images: int, is_better: bool) -> None:
    champion = np.zeros(num_images)
    verdict = judge(Scores(champion + 1, champion, ["a"] * num_images), "cider", SETTINGS)
    assert verdict.is_better is is_better
    said = "is above 0; the images are fewer than promotion.min_images, 30: set more apart"
    assert verdict.reason.endswith(said) is not is_better


def test_a_score_that_is_no_number_is_said_in_a_sentence() -> None:
    scores = Scores(np.array([1.0, np.nan, 2.0]), np.array([np.inf, 1.0, 2.0]), ["a"] * 3)
    with pytest.raises(MissingInputError, match="the cider of 2 of 3 validation images is not a number"):
        judge(scores, "cider", SETTINGS)
