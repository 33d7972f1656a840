"""Images to captions in standard form with their alternatives, by a checkpoint, its notation and beam search."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby, product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from lib.captioning.caption_choice import (
    CaptionCandidate,
    PredictedCaption,
    Readings,
    agreed_with_graph,
    choose,
    confirmed_by_drawing,
    mixed_votes,
)
from lib.captioning.graph_reading import how_legible, pretrained_readers, read_at_best_size, read_graph
from lib.captioning.redrawing import RedrawnImage, prepare
from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.images.cleaning import decode_png
from lib.sections.captioning import PredictionSettings
from model.batches import as_ink, round_up, stack_images
from model.captioner import Grid, join_grids
from model.checkpoint import load_captioner, load_details
from model.decoding import Candidate, beam_search

# Sentences of a beam are compared by the logarithm of their probability over their length to this power: by the sum
# the shortest would win, by the mean long ones. Chosen on Flickr8k's dev split (LOG.md).
LENGTH_EXPONENT = 0.7
# Degrees clockwise and factor of size. The first is read of every image, the others where that does not suffice.
GRAPH_VIEWS = ((0, 1.0), (180, 1.0), (0, 0.9), (180, 0.9), (0, 1.2), (180, 1.2))
UPRIGHT_VIEWS = GRAPH_VIEWS[:4]  # in which an image that was turned is compared with itself turned back
# Weight of the label reader's log-probabilities there: at that of other readings most probabilities are as near 1
# either way up.
UPRIGHT_LABEL_WEIGHT = 0.75
TURNED_BACK_FROM = 2e-6  # nats a label by which it must be surer then: some labels are read as surely either way


class CleanedImage(NamedTuple):
    """An image to caption."""

    pixels: np.ndarray  # (H, W) or (H, W, 3) uint8; or float16 features (F, h, w) of the network's frozen encoder
    larger: np.ndarray | None = None  # the same image larger, which is read as a graph instead


class ImageCaptioner:
    """A checkpoint ready to caption.

    Raises CheckpointError. Raises NotationError if its notation is unknown, or if prediction.is_redrawn asks for
    drawings that the notation does not have.
    """

    def __init__(self, directory: Path, settings: PredictionSettings) -> None:
        self.settings = settings
        self.network, self.vocabulary, _ = load_captioner(directory)
        details = load_details(directory)
        self.max_tokens: int = details["max_tokens"]
        self.notation = notation_named(details["notation"])
        if settings.is_redrawn and not self.notation.drawers:
            raise NotationError(f"prediction.is_redrawn is true, but captions in {self.notation.name} cannot be drawn")
        self.asked = SafeNotation(self.notation)
        is_grey = self.network.config.num_channels == 1
        known = self.notation.graph_reader if settings.is_read_as_graph and is_grey else None
        self._readers = pretrained_readers(known) if known else None

    def caption(
        self, cleaned: Sequence[CleanedImage], count_done: Callable[[int], None] = lambda _: None
    ) -> list[PredictedCaption]:
        """Caption cleaned images of any sizes; none depends on the others.

        All may have features instead of pixels, where the settings' can_read_features.

        An image is first decoded greedily, and read as a graph. That suffices if both say the same, or if drawings
        make one of them sure. Otherwise the image is read as a graph in further views and decoded by beam search in one
        view after another (rotation and scale). The readings so far vote after each view, until the confidence reaches
        prediction.sure_from. `count_done` is called with the number of images that are finished.
        """
        # All rotations at one scale come first: a second rotation gains more than a second scale.
        views = [(turn_deg, scale) for scale, turn_deg in product(self.settings.scales, self.settings.turns_deg)]
        images = [one.pixels for one in cleaned]
        redrawn = list(map(self.prepared, images))
        readings: list[list[list[CaptionCandidate]]] = [[] for _ in images]
        captions: list[PredictedCaption | None] = [None for _ in images]
        graphs: list[list[list[CaptionCandidate]]] = [[] for _ in images]
        if (self.settings.is_redrawn or self._readers) and self.settings.num_beams > 1:
            seen = [seen_as(pixels, *views[0]) for pixels in images]
            for index, (greedy,) in self._each_read(seen, num_beams=1):
                graphs[index] = self.as_graphs(cleaned[index], GRAPH_VIEWS[:1])
                captions[index] = self._read_once(greedy, graphs[index], redrawn[index])
                count_done(int(self._is_sure(captions[index])))
        for index, caption in enumerate(captions):
            if not self._is_sure(caption) and self.settings.sure_from:
                graphs[index] += self.as_graphs(cleaned[index], GRAPH_VIEWS[len(graphs[index]) :])
        for view in views:
            unsure = [index for index, one in enumerate(captions) if not self._is_sure(one)]
            seen = [seen_as(images[index], *view) for index in unsure]
            for order, candidates in self._each_read(seen, self.settings.num_beams):
                index = unsure[order]
                readings[index].append(candidates)
                captions[index] = self._choose(readings[index], redrawn[index], graphs[index])
                count_done(int(self._is_sure(captions[index]) or view is views[-1]))
        return [one for one in captions if one is not None]  # all have one by now

    def _is_sure(self, caption: PredictedCaption | None) -> bool:
        return caption is not None and caption.confidence >= self.settings.sure_from

    def read(self, images: Sequence[np.ndarray], num_beams: int) -> list[list[CaptionCandidate]]:
        """The candidates of each image, best first."""
        read = dict(self._each_read(images, num_beams))
        return [read[index] for index in range(len(images))]

    def _each_read(self, images: Sequence[np.ndarray], num_beams: int) -> Iterator[tuple[int, list[CaptionCandidate]]]:
        """Each image's index and candidates, in the order in which they are decoded."""
        for indices in of_like_size(images, self.settings.batch_size):
            beams = self.search([images[index] for index in indices], num_beams)
            for index, candidates in zip(indices, beams, strict=True):
                yield index, [self._read_as(one) for one in candidates]

    def search(self, images: Sequence[np.ndarray], num_beams: int) -> list[list[Candidate]]:
        """The candidates of each image, best first, as the network writes them; images of one size side by side."""
        by_size = groupby(images, _size_in_batch)
        grid = join_grids([self._encode(list(same)) for _, same in by_size])
        return beam_search(self.network, grid, num_beams, self.max_tokens)

    @torch.inference_mode()
    def _encode(self, images: Sequence[np.ndarray]) -> Grid:
        if images[0].dtype == np.float16:  # features
            inputs = torch.from_numpy(np.stack(images))
        else:
            inputs = stack_images(images, self.network.config.num_channels)
        return self.network.encode(as_ink(inputs.to(next(self.network.parameters()).device)))

    @torch.inference_mode()
    def encoded(self, pixels: np.ndarray) -> np.ndarray:
        """A cleaned image as features (F, h, w) if the encoder is frozen and they are all it takes, else unchanged."""
        if not (self.network.config.is_encoder_frozen and self.settings.can_read_features):
            return pixels
        images = as_ink(stack_images([pixels], self.network.config.num_channels))
        features: np.ndarray = self.network.encoder.extract(images)[0].half().numpy()
        return features

    def _read_as(self, candidate: Candidate) -> CaptionCandidate:
        text = self.notation.join(self.vocabulary.decode(candidate.token_ids))
        # A caption that was cut off at max_tokens has no vote.
        caption = self.asked.read(text) if candidate.is_finished else None
        if self.notation.needs_every_token:
            return CaptionCandidate(
                text, caption, candidate.score, candidate.probability, token_ids=candidate.token_ids
            )
        # The confidence of a sentence is the geometric mean of its tokens' probabilities: one word may differ.
        length = len(candidate.token_ids) + candidate.is_finished
        mean, votes = (candidate.probability ** (1 / length**exponent) for exponent in (1, LENGTH_EXPONENT))
        return CaptionCandidate(text, caption, candidate.score, mean, votes)

    def upright(self, pixels: np.ndarray, rotation_deg: int, larger: np.ndarray | None = None) -> CleanedImage:
        """A cleaned image turned back by what cleaning turned it (clockwise), if its labels are surer then.

        Drawings higher than wide are turned by 90 degrees, since some stand on their side; most of those by people do
        not. As it is without prediction.is_read_as_graph.
        """
        cleaned = CleanedImage(pixels, larger)
        if not rotation_deg or self._readers is None:
            return cleaned
        readers = self._readers._replace(sure_from=math.inf, label_weight=UPRIGHT_LABEL_WEIGHT)  # corners tell too
        back_deg = -rotation_deg % 360
        larger_back = None if larger is None else seen_as(larger, back_deg, 1.0)
        turned_back = CleanedImage(seen_as(pixels, back_deg, 1.0), larger_back)

        def legibility(image: CleanedImage) -> float:
            graphs = [read_graph(seen_as(_largest(image), *view), readers) for view in UPRIGHT_VIEWS]
            return float(np.mean([how_legible(graph) for graph in graphs]))

        return turned_back if legibility(turned_back) > legibility(cleaned) + TURNED_BACK_FROM else cleaned

    def stored(self, image: bytes, larger_image: bytes | None, rotation_deg: int) -> CleanedImage:
        """A row of images_clean as it is captioned: PNG files decoded, and turned back as `upright` says."""
        larger = None if larger_image is None else decode_png(larger_image)
        return self.upright(decode_png(image), rotation_deg, larger)

    def prepared(self, pixels: np.ndarray) -> RedrawnImage | None:
        """A cleaned image prepared for comparison with drawings; None without prediction.is_redrawn or without ink."""
        image = prepare(pixels) if self.settings.is_redrawn else None
        return RedrawnImage(image, self.notation.drawers, self.asked.draw) if image is not None else None

    def as_graphs(
        self, image: CleanedImage, views: Sequence[tuple[int, float]] = GRAPH_VIEWS
    ) -> list[list[CaptionCandidate]]:
        """The candidates of a cleaned image read as a graph in each view, best first.

        Empty without prediction.is_read_as_graph.
        """
        if self._readers is None:
            return []
        found = []
        captions: dict[str, str | None] = {}  # most views say the same
        for view in views:
            graph = read_at_best_size(seen_as(_largest(image), *view), self._readers)
            assembled = self.asked.assemble(graph) if graph else []
            for text in chain.from_iterable((one.text, one.drawn_as) for one in assembled):
                if text not in captions:
                    captions[text] = self.asked.read(text)
            likelihoods = np.exp([one.log_probability - assembled[0].log_probability for one in assembled])
            found.append(
                [
                    CaptionCandidate(
                        one.text,
                        captions[one.text],
                        one.log_probability,
                        math.exp(one.log_probability),
                        votes=float(likelihood),
                        drawn_as=captions[one.drawn_as],
                    )
                    for one, likelihood in zip(assembled, likelihoods / likelihoods.sum(), strict=True)
                ]
            )
        return found

    def _read_once(
        self, greedy: CaptionCandidate, graphs: Readings, redrawn: RedrawnImage | None
    ) -> PredictedCaption | None:
        """The caption of an image that was decoded greedily and, where it says something so, read as one graph."""
        if any(graphs):
            if greedy.caption is not None and graphs[0][0].caption == greedy.caption:
                caption = agreed_with_graph(greedy)
                if self._is_sure(caption):
                    return caption
            return self._choose([[greedy]], redrawn, graphs)
        if redrawn is None or greedy.caption is None:
            return None
        redrawn.draw(greedy.caption)
        return confirmed_by_drawing(greedy, redrawn.agreements[greedy.caption])

    def _choose(
        self, readings: list[list[CaptionCandidate]], redrawn: RedrawnImage | None, graphs: Readings = ()
    ) -> PredictedCaption:
        """Choose among readings; candidates are drawn again, likely ones first, until one is surely right."""
        if redrawn is None:
            return choose(readings, self.asked.repair, None, graphs)
        seen = drawn_as(graphs)
        for caption in mixed_votes(readings, graphs):
            if caption in redrawn.agreements:
                continue
            chosen = choose(readings, self.asked.repair, redrawn.agreements, graphs)
            if redrawn.agreements and chosen.confidence >= self.settings.sure_from:
                break
            redrawn.draw(caption, seen.get(caption))
        return choose(readings, self.asked.repair, redrawn.agreements, graphs)


def drawn_as(graphs: Readings) -> dict[str | None, str | None]:
    """What each caption is drawn as; one that is seen as it is in any view, as itself."""
    seen: dict[str | None, str | None] = {}
    for one in chain.from_iterable(graphs):
        if one.caption not in seen or one.drawn_as == one.caption:
            seen[one.caption] = one.drawn_as
    return seen


def _largest(image: CleanedImage) -> np.ndarray:
    return image.pixels if image.larger is None else image.larger


def seen_as(pixels: np.ndarray, turn_deg: int, scale: float) -> np.ndarray:
    """An image turned clockwise and scaled."""
    if turn_deg:
        pixels = np.ascontiguousarray(np.rot90(pixels, -turn_deg // 90))
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)
    return pixels


def _size_in_batch(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width that an image has in a batch; those of the grid of features, which are not padded."""
    if pixels.dtype == np.float16:
        return pixels.shape[1], pixels.shape[2]
    return round_up(pixels.shape[0]), round_up(pixels.shape[1])


def of_like_size(images: Sequence[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    """Indices of images of about the same area, those of one size side by side, at most batch_size at a time."""

    def order(index: int) -> tuple[int, int]:
        height, width = _size_in_batch(images[index])
        return height * width, height

    indices = sorted(range(len(images)), key=order)
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]
