"""Pictures to captions in standard form, with what else they could be: a checkpoint, its notation and a beam search."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product
from pathlib import Path

import cv2
import numpy as np
import torch

from lib.captioning.caption_choice import Guess, PredictedCaption, choose, confirm, shares
from lib.captioning.redrawing import RedrawnPicture, prepare
from lib.captions.notation_process import NotationProcess
from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.sections.captioning import PredictionSettings
from model.batches import as_ink, round_up, stack_pictures
from model.captioner import Grid, join_grids
from model.checkpoint import load_captioner, load_details
from model.decoding import Candidate, beam_search


class PictureCaptioner:
    """A checkpoint ready to caption.

    Raises CheckpointError, or NotationError if there is no notation of its name, or one that cannot be drawn and is to.
    """

    def __init__(self, directory: Path, settings: PredictionSettings) -> None:
        self.settings = settings
        self.network, self.vocabulary, _ = load_captioner(directory)
        details = load_details(directory)
        self.max_tokens: int = details["max_tokens"]
        self.notation = notation_named(details["notation"])
        if settings.is_redrawn and not self.notation.drawers:
            raise NotationError(f"prediction.is_redrawn is true, but captions in {self.notation.name} cannot be drawn")
        self.asked = NotationProcess(self.notation.name) if "read" in self.notation.needs_isolation else self.notation

    def caption(
        self, pictures: Sequence[np.ndarray], count_done: Callable[[int], None] = lambda _: None
    ) -> list[PredictedCaption]:
        """Caption cleaned pictures (H, W) or (H, W, 3) of any sizes; none depends on the others.

        Instead of pictures all may be float16 features (F, h, w) of the network's frozen encoder.

        A picture is read greedily first, which is enough if the caption drawn again confirms it. Otherwise it is read
        by beam, turned and scaled, until the readings so far are sure of a caption; all of these vote.
        `count_done` is called with the number of pictures that will not be read again, as they are done.
        """
        # In every turn before at another scale: a second turn finds more than a second scale.
        views = [(turn_deg, scale) for scale, turn_deg in product(self.settings.scales, self.settings.turns_deg)]
        redrawn = list(map(self.prepared, pictures))
        readings: list[list[list[Guess]]] = [[] for _ in pictures]
        captions: list[PredictedCaption | None] = [None for _ in pictures]
        if self.settings.is_redrawn and self.settings.num_beams > 1:
            for place, greedy in self._each_read([seen_as(pixels, *views[0]) for pixels in pictures], num_beams=1):
                captions[place] = self._confirmed(greedy, redrawn[place])
                count_done(int(captions[place] is not None))
        for view in views:
            unsure = [place for place, one in enumerate(captions) if not self._is_sure(one)]
            seen = [seen_as(pictures[place], *view) for place in unsure]
            for index, guesses in self._each_read(seen, self.settings.num_beams):
                place = unsure[index]
                readings[place].append(guesses)
                captions[place] = self._choose(readings[place], redrawn[place])
                count_done(int(self._is_sure(captions[place]) or view is views[-1]))
        return [one for one in captions if one is not None]  # all have one by now

    def _is_sure(self, caption: PredictedCaption | None) -> bool:
        return caption is not None and caption.confidence >= self.settings.sure_from

    def read(self, pictures: Sequence[np.ndarray], num_beams: int) -> list[list[Guess]]:
        """The candidates of each picture, best first."""
        read = dict(self._each_read(pictures, num_beams))
        return [read[place] for place in range(len(pictures))]

    def _each_read(self, pictures: Sequence[np.ndarray], num_beams: int) -> Iterator[tuple[int, list[Guess]]]:
        """Each picture's place and candidates, as soon as they are there, in an order that suits the network."""
        for places in of_like_size(pictures, self.settings.batch_size):
            by_size = groupby(places, lambda place: _size_in_batch(pictures[place]))
            grid = join_grids([self._encode([pictures[place] for place in same]) for _, same in by_size])
            beams = beam_search(self.network, grid, num_beams, self.max_tokens)
            for place, candidates in zip(places, beams, strict=True):
                yield place, [self._guess(one) for one in candidates]

    @torch.inference_mode()
    def _encode(self, pictures: Sequence[np.ndarray]) -> Grid:
        if pictures[0].dtype == np.float16:  # features
            images = torch.from_numpy(np.stack(pictures))
        else:
            images = stack_pictures(pictures, self.network.config.num_channels)
        return self.network.encode(as_ink(images.to(next(self.network.parameters()).device)))

    @torch.inference_mode()
    def encoded(self, pixels: np.ndarray) -> np.ndarray:
        """A cleaned picture as features (F, h, w) if the network's encoder is frozen, as it is if not."""
        if not self.network.config.is_encoder_frozen:
            return pixels
        images = as_ink(stack_pictures([pixels], self.network.config.num_channels))
        features: np.ndarray = self.network.encoder.extract(images)[0].half().numpy()
        return features

    def _guess(self, candidate: Candidate) -> Guess:
        text = self.notation.join(self.vocabulary.decode(candidate.token_ids))
        # A caption that was cut off is not what the network would have written: it has no vote.
        caption = self.asked.read(text) if candidate.is_finished else None
        return Guess(text, caption, candidate.score, self._probability(candidate))

    def _probability(self, candidate: Candidate) -> float:
        """Of the whole caption; of a sentence, that stays right with another word, the geometric mean of its tokens."""
        if self.notation.needs_every_token:
            return candidate.probability
        return candidate.probability ** (1 / (len(candidate.token_ids) + candidate.is_finished))

    def prepared(self, pixels: np.ndarray) -> RedrawnPicture | None:
        """A cleaned picture ready to have captions drawn on it; None if that is not asked for, or there is no ink."""
        picture = prepare(pixels) if self.settings.is_redrawn else None
        return RedrawnPicture(picture, self.notation.drawers, self.asked.draw) if picture is not None else None

    def _confirmed(self, greedy: list[Guess], redrawn: RedrawnPicture | None) -> PredictedCaption | None:
        """What was read greedily, if its drawing says that it is surely right."""
        (guess,) = greedy
        if redrawn is None or guess.caption is None:
            return None
        redrawn.draw(guess.caption)
        caption = confirm(guess, redrawn.agreements[guess.caption])
        return caption if self._is_sure(caption) else None

    def _choose(self, readings: list[list[Guess]], redrawn: RedrawnPicture | None) -> PredictedCaption:
        """Choose among readings; candidates are drawn again, likely ones first, until one is surely right."""
        if redrawn is None:
            return choose(readings, self.asked.repair)
        for caption in shares(readings):
            if caption in redrawn.agreements:
                continue
            if redrawn.agreements and self._chosen(readings, redrawn).confidence >= self.settings.sure_from:
                break
            redrawn.draw(caption)
        return self._chosen(readings, redrawn)

    def _chosen(self, readings: list[list[Guess]], redrawn: RedrawnPicture) -> PredictedCaption:
        return choose(readings, self.asked.repair, redrawn.agreements)


def seen_as(pixels: np.ndarray, turn_deg: int, scale: float) -> np.ndarray:
    """A picture turned clockwise and scaled."""
    if turn_deg:
        pixels = np.ascontiguousarray(np.rot90(pixels, -turn_deg // 90))
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)
    return pixels


def _size_in_batch(pixels: np.ndarray) -> tuple[int, int]:
    return round_up(pixels.shape[0]), round_up(pixels.shape[1])


def of_like_size(pictures: Sequence[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    """Places of pictures of about the same area, those of one size side by side, at most batch_size at a time."""

    def order(place: int) -> tuple[int, int]:
        height, width = _size_in_batch(pictures[place])
        return height * width, height

    places = sorted(range(len(pictures)), key=order)
    for start in range(0, len(places), batch_size):
        yield places[start : start + batch_size]
