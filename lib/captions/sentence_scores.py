"""BLEU, METEOR, ROUGE-L and CIDEr of whole sets of captions, by pycocoevalcap (extra photos); knows nothing of Spark.

Nothing is averaged over batches: a set is scored at once. SPICE is not used, because it would download its models.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from lib.captions.java_scorers import Meteor, words_of

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider")


class TokenizedSet(NamedTuple):
    """By image id, in words joined by blanks, as pycocoevalcap takes them."""

    predictions: dict[str, list[str]]  # one for each image; '' where the caption has no word
    references: dict[str, list[str]]  # at least one for each image, none of them ''


class SentenceScorer:
    """Scores sets of captions; a context manager, at whose end METEOR's process ends."""

    def __init__(self) -> None:
        self._meteor = Meteor()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._meteor.close()

    def score(self, predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """METRICS over all images that have both a prediction and a reference with a word, and how many they are.

        num_sentences is the number of these images; METRICS are left out where it is 0. num_empty_sentences is the
        number of their predictions without a word, which are scored as they are. CIDEr's document frequencies are those
        of the references of these images, so its values compare within one set of images only.
        Raises RuntimeMissingError if pycocoevalcap or Java 17 is missing, or if a program in Java fails.
        """
        tokenized = tokenize(predictions, references)
        counts: dict[str, float] = {
            "num_sentences": len(tokenized.predictions),
            "num_empty_sentences": sum(not words for (words,) in tokenized.predictions.values()),
        }
        if not tokenized.predictions:
            return counts
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge

        in_order = (tokenized.references, tokenized.predictions)
        bleus, _ = Bleu(4).compute_score(*in_order, verbose=0)
        meteor = self._meteor.score(
            [words for (words,) in tokenized.predictions.values()], list(tokenized.references.values())
        )
        (rouge_l, _), (cider, _) = Rouge().compute_score(*in_order), Cider().compute_score(*in_order)
        return counts | dict(zip(METRICS, map(float, (*bleus, meteor, rouge_l, cider)), strict=True))


def cider_by_image(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """CIDEr of each image that can be scored, with the document frequencies of all of them.

    Raises RuntimeMissingError as SentenceScorer.score does.
    """
    tokenized = tokenize(predictions, references)
    if not tokenized.predictions:
        return {}
    from pycocoevalcap.cider.cider import Cider

    _, ciders = Cider().compute_score(tokenized.references, tokenized.predictions)
    return dict(zip(tokenized.predictions, map(float, ciders), strict=True))


def tokenize(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> TokenizedSet:
    """The images that can be scored, in words. Raises RuntimeMissingError as SentenceScorer.score does."""
    known = {image_id: list(references[image_id]) for image_id in predictions if references.get(image_id)}
    sentences = [sentence for image_id, captions in known.items() for sentence in (predictions[image_id], *captions)]
    words = iter(words_of(sentences) if sentences else ())
    tokenized = TokenizedSet({}, {})
    for image_id, captions in known.items():
        prediction = next(words)
        if with_words := [reference for reference in (next(words) for _ in captions) if reference]:
            tokenized.predictions[image_id], tokenized.references[image_id] = [prediction], with_words
    return tokenized
