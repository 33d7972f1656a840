"""Statistics of reviews: by model, by confidence, and agreement between reviewers.

The views standing_reviews, precision_by_confidence and agreement_of_reviewers give the same numbers in SQL.
"""

from collections import Counter
from itertools import combinations
from typing import NamedTuple

from lib.reviewing.doubt_queue import JUDGED, DoubtOrder
from lib.reviewing.review_log import Standing

NUM_BINS = 10


class Precision(NamedTuple):
    """Captions of one range of confidence, and the fraction of them that people accept."""

    confidence_from: float
    num_captions: int
    fraction: float


class ModelReviews(NamedTuple):
    """The reviews of one model's captions; a caption counts once per reviewer."""

    model_version: str
    num_by_verdict: Counter[str]

    @property
    def accepted(self) -> float | None:
        """Fraction accepted of those judged, 0..1; None if none was."""
        judged = sum(self.num_by_verdict[verdict] for verdict in JUDGED)
        return self.num_by_verdict["accept"] / judged if judged else None


class ReviewAgreement(NamedTuple):
    """How often two reviewers agree on a caption."""

    reviewer: str
    other_reviewer: str
    num_captions: int
    fraction: float


def reviews_by_model(standing: Standing) -> list[ModelReviews]:
    """The reviews that stand, the model with most of them first."""
    found: dict[str, Counter[str]] = {}
    for (_, model_version), reviews in standing.items():
        found.setdefault(model_version, Counter()).update(review.verdict for review in reviews.values())
    by_model = [ModelReviews(model, verdicts) for model, verdicts in found.items()]
    return sorted(by_model, key=lambda one: (-one.num_by_verdict.total(), one.model_version))


def precision_by_confidence(order: DoubtOrder, standing: Standing) -> list[Precision]:
    """The fraction accepted in each tenth of the confidence in which captions were judged, over all models.

    A caption counts once, by the fraction of its reviewers. One that was replaced after its review is left out.
    """
    bins: dict[int, list[float]] = {}
    for key, reviews in standing.items():
        index = order.index_of.get(key)
        confidence = order.rows["confidence"][index].as_py() if index is not None else None
        if index is None or confidence is None or not 0 <= confidence <= 1:  # NaN, too, which no job of ours writes
            continue
        caption = order.rows["caption"][index].as_py()
        seen = [review.verdict for review in reviews.values() if review.caption == caption and review.verdict in JUDGED]
        if seen:
            accepted = seen.count("accept") / len(seen)
            bins.setdefault(min(int(NUM_BINS * confidence), NUM_BINS - 1), []).append(accepted)
    return [Precision(bin_ / NUM_BINS, len(found), sum(found) / len(found)) for bin_, found in sorted(bins.items())]


def agreement_of_reviewers(standing: Standing) -> list[ReviewAgreement]:
    """Each two people who judged the same captions, those with most of them first."""
    found: dict[tuple[str, str], list[bool]] = {}
    for reviews in standing.values():
        judged = sorted(name for name, review in reviews.items() if review.verdict in JUDGED)
        for one, other in combinations(judged, 2):
            if reviews[one].caption == reviews[other].caption:
                accepts = [reviews[name].verdict == "accept" for name in (one, other)]
                found.setdefault((one, other), []).append(accepts[0] == accepts[1])
    pairs = [ReviewAgreement(*names, len(agreed), sum(agreed) / len(agreed)) for names, agreed in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.num_captions, pair))
