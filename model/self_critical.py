"""Self-critical training: captions that the network samples are reinforced by how much better than others they are.

arXiv 1612.00563; what a sample is compared with is the mean of its image's other samples (arXiv 2003.09971). The reward
is CIDEr-D (arXiv 1411.5726), here of token ids: lists of ints without <start>, with <end> as their last token.

B images, K samples of each, T tokens, V vocabulary.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional

from model.batches import Batch, as_ink
from model.captioner import Captioner
from model.config import TrainingConfig
from model.decoding import NEVER_WRITTEN
from model.vocabulary import END, PAD, START

MAX_NGRAM = 4
LENGTH_DEVIATION = 6.0  # tokens; CIDEr-D's penalty on captions longer or shorter than a reference
SCALE = 10.0  # CIDEr-D is 0..10

Tokens = Sequence[int]
NGrams = dict[tuple[int, ...], float]  # with the weight of each


class CiderScorer:
    """CIDEr-D with the document frequencies of a corpus: in how many images' captions each n-gram is."""

    def __init__(self, captions_of_images: Iterable[Sequence[Tokens]]) -> None:
        """Count the n-grams of the captions of each image."""
        self._num_images_with: Counter[tuple[int, ...]] = Counter()
        num_images = 0
        for captions in captions_of_images:
            self._num_images_with.update({ngram for caption in captions for ngram in _ngrams(caption)})
            num_images += 1
        self._log_num_images = math.log(max(num_images, 1))

    def score(self, captions: Sequence[Tokens], references: Sequence[Tokens]) -> list[float]:
        """CIDEr-D of each of several captions of an image with these references, 0..10."""
        known = [self._weighted(reference) for reference in references]
        return [self._score(self._weighted(caption), known) for caption in captions]

    def _score(self, caption: "_Weighted", references: list["_Weighted"]) -> float:
        total = 0.0
        for reference in references:
            excess = caption.num_tokens - reference.num_tokens
            penalty = math.exp(-(excess**2) / (2 * LENGTH_DEVIATION**2))
            for mine, theirs, norms in zip(
                caption.ngrams, reference.ngrams, zip(caption.norms, reference.norms, strict=True), strict=True
            ):
                if norms[0] and norms[1]:
                    product = sum(
                        min(weight, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0) for ngram, weight in mine.items()
                    )
                    total += penalty * product / (norms[0] * norms[1])
        return SCALE * total / (MAX_NGRAM * len(references))

    def _weighted(self, caption: Tokens) -> "_Weighted":
        counts = Counter(_ngrams(caption))
        ngrams: list[NGrams] = [{} for _ in range(MAX_NGRAM)]
        for ngram, count in counts.items():
            inverse_frequency = self._log_num_images - math.log(max(1, self._num_images_with[ngram]))
            ngrams[len(ngram) - 1][ngram] = count * inverse_frequency
        return _Weighted(ngrams, len(caption))


class _Weighted:
    """The n-grams of a caption by length, each with its count times its inverse document frequency."""

    def __init__(self, ngrams: list[NGrams], num_tokens: int) -> None:
        self.ngrams = ngrams
        self.norms = [math.sqrt(sum(weight**2 for weight in of_length.values())) for of_length in ngrams]
        self.num_tokens = num_tokens


def _ngrams(caption: Tokens) -> list[tuple[int, ...]]:
    return [
        tuple(caption[start : start + length])
        for length in range(1, MAX_NGRAM + 1)
        for start in range(len(caption) - length + 1)
    ]


@torch.no_grad()
def sample_captions(captioner: Captioner, images: Tensor, num_samples: int, max_tokens: int) -> Tensor:
    """Return num_samples captions of each image (B, C, H, W), drawn token by token: int64 (B * K, T + 1) as in a Batch.

    The captions of an image follow each other. max_tokens counts <end>; a caption that is longer is cut off.
    """
    grid = captioner.encode(images)
    state = captioner.start(grid, num_samples)
    drawn = [torch.full((len(images), num_samples), START, device=images.device)]
    is_ended = torch.zeros_like(drawn[0], dtype=torch.bool)
    for _ in range(max_tokens):
        logits, state = captioner.step(drawn[-1], grid, state)  # (B, K, V)
        logits[..., NEVER_WRITTEN] = -torch.inf
        tokens = torch.multinomial(logits.float().softmax(dim=2).flatten(0, 1), 1).view_as(is_ended)
        tokens = tokens.masked_fill(is_ended, PAD)
        drawn.append(tokens)
        is_ended = is_ended | (tokens == END)
        if is_ended.all():
            break
    return torch.stack(drawn, dim=2).flatten(0, 1)


def self_critical(
    batches: Iterable[Batch], captioner: Captioner, scorer: CiderScorer, training: TrainingConfig, max_tokens: int
) -> Iterator[Batch]:
    """Yield each batch with captions (B * K, T + 1) that the captioner samples now, then its own, with advantages.

    Its own have the weight training.reference_weight, times their caption_weights: they hold the network to the
    language (arXiv 1705.04304, 2.4).
    The captioner is left in evaluation mode: what learns must be what wrote. With dropout in between, samples look
    unlikely to the network that is to learn from them, and pushing them down further makes captions fall apart.
    """
    device = next(captioner.parameters()).device
    num_samples = training.num_samples
    for batch in batches:
        captioner.eval()
        tokens = sample_captions(captioner, as_ink(batch.images.to(device)), num_samples, max_tokens).cpu()
        references = captions_of_images(batch)
        samples = [bare(caption) for caption in tokens.tolist()]
        rewards = torch.tensor(
            [
                scorer.score(samples[index * num_samples : (index + 1) * num_samples], of_image)
                for index, of_image in enumerate(references)
            ]
        )  # (B, K)
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (num_samples - 1)
        indices = torch.arange(len(references)).repeat_interleave(num_samples)
        advantages = (rewards - others).flatten()
        if training.reference_weight:
            tokens = _joined(tokens, batch.tokens)
            own = torch.arange(len(references)) if batch.image_indices is None else batch.image_indices
            indices = torch.cat((indices, own))
            weights = torch.ones(len(own)) if batch.caption_weights is None else batch.caption_weights
            advantages = torch.cat((advantages, training.reference_weight * weights))
        yield replace(
            batch, tokens=tokens, image_indices=indices, marks=None, advantages=advantages, caption_weights=None
        )


def _joined(captions: Tensor, others: Tensor) -> Tensor:
    """Return captions (B, T) and others (C, U) as one tensor (B + C, longer of T and U), padded."""
    length = max(captions.shape[1], others.shape[1])
    return torch.cat([functional.pad(one, (0, length - one.shape[1]), value=PAD) for one in (captions, others)])


def captions_of_images(batch: Batch) -> list[list[list[int]]]:
    """Return the captions of each image of a batch (B, T + 1), <end> included, without <start> and <pad>."""
    captions = [bare(caption) for caption in batch.tokens.tolist()]
    if batch.image_indices is None:
        return [[caption] for caption in captions]
    of_captions = zip(batch.image_indices.tolist(), captions, strict=True)
    return [[caption for _, caption in group] for _, group in groupby(of_captions, key=lambda pair: pair[0])]


def bare(tokens: Sequence[int]) -> list[int]:
    """Tokens as the network is given them, without <start> and <pad>."""
    return [token for token in tokens if token not in (START, PAD)]
