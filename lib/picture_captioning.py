"""Pictures to captions in standard form, with what else they could be: a checkpoint, its notation and a beam search."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from lib.notation_process import NotationProcess
from lib.notations import notation_named
from model.batches import as_ink, round_up, stack_pictures
from model.captioner import Grid, join_grids
from model.checkpoint import load_captioner, load_details
from model.decoding import Candidate, beam_search


class PredictionSettings(BaseModel):
    """How pictures are captioned; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    batch_size: int = Field(gt=0)
    num_images_in_buffer: int = Field(gt=0)
    threads_per_worker: int = Field(gt=0)
    num_beams: int = Field(gt=0)
    length_penalty: float = Field(ge=0)
    turns_deg: tuple[Literal[0, 90, 180, 270], ...] = Field(min_length=1)
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(min_length=1)
    sure_from: float = Field(ge=0)


class PredictedCaption(NamedTuple):
    """A caption, and the other candidates, best first, with log-probability / tokens ** length_penalty as scores."""

    caption: str
    confidence: float  # probability, by the model's own account, that the caption is right
    is_valid: bool
    alternatives: list[tuple[str, float]]


class Guess(NamedTuple):
    """What one candidate of a beam means."""

    text: str  # as the network wrote it
    caption: str | None  # in standard form; None if it is not valid
    score: float
    probability: float


class PictureCaptioner:
    """A checkpoint ready to caption. Raises CheckpointError, or NotationError if there is no notation of its name."""

    def __init__(self, directory: Path, settings: PredictionSettings) -> None:
        self.settings = settings
        self.network, self.vocabulary, _ = load_captioner(directory)
        details = load_details(directory)
        self.max_tokens: int = details["max_tokens"]
        self.notation = notation_named(details["notation"])
        self.asked = NotationProcess(self.notation.name) if self.notation.is_read_by_rdkit else self.notation

    def caption(self, pictures: Sequence[np.ndarray]) -> list[PredictedCaption]:
        """Caption cleaned pictures (H, W) or (H, W, 3) of any sizes; none depends on the others.

        Of a picture whose first reading is not sure, further ones are made of it turned and enlarged, and all vote.
        """
        first, *others = product(self.settings.turns_deg, self.settings.scales)
        readings = [[guesses] for guesses in self._read([_seen(pixels, *first) for pixels in pictures])]
        captions = [self._choose(of_one) for of_one in readings]
        if not others:
            return captions
        unsure = [place for place, one in enumerate(captions) if one.confidence < self.settings.sure_from]
        for view in others:
            seen = [_seen(pictures[place], *view) for place in unsure]
            for place, guesses in zip(unsure, self._read(seen), strict=True):
                readings[place].append(guesses)
        for place in unsure:
            captions[place] = self._choose(readings[place])
        return captions

    def _read(self, pictures: Sequence[np.ndarray]) -> list[list[Guess]]:
        """The candidates of each picture, best first."""
        read: dict[int, list[Guess]] = {}
        for places in _of_like_size(pictures, self.settings.batch_size):
            by_size = groupby(places, lambda place: _size_in_batch(pictures[place]))
            grid = join_grids([self._encode([pictures[place] for place in same]) for _, same in by_size])
            beams = beam_search(
                self.network, grid, self.settings.num_beams, self.max_tokens, self.settings.length_penalty
            )
            for place, candidates in zip(places, beams, strict=True):
                read[place] = [self._guess(one) for one in candidates]
        return [read[place] for place in range(len(pictures))]

    @torch.inference_mode()
    def _encode(self, pictures: Sequence[np.ndarray]) -> Grid:
        images = stack_pictures(pictures, self.network.config.num_channels)
        return self.network.encode(as_ink(images.to(next(self.network.parameters()).device)))

    def _guess(self, candidate: Candidate) -> Guess:
        text = self.notation.join(self.vocabulary.decode(candidate.token_ids))
        return Guess(text, self.asked.read(text), candidate.score, candidate.probability)

    def _choose(self, readings: list[list[Guess]]) -> PredictedCaption:
        """The valid caption with the largest share of all readings; candidates that mean the same add up."""
        guesses = [guess for of_one in readings for guess in of_one]
        votes: dict[str, float] = {}
        for guess in guesses:
            if guess.caption is not None:
                votes[guess.caption] = votes.get(guess.caption, 0.0) + math.exp(guess.score)
        best = readings[0][0]
        chosen = max(votes, key=votes.__getitem__) if votes else self.asked.repair(best.text)
        same = [guess.probability for guess in guesses if guess.caption == chosen] or [best.probability]
        others: dict[str, float] = {}
        for guess in sorted(guesses, key=lambda guess: guess.score, reverse=True):
            if (guess.caption or guess.text) != chosen:
                others.setdefault(guess.caption or guess.text, guess.score)
        confidence = _agreed(sum(same) / len(readings), len(readings)) if votes else sum(same)
        return PredictedCaption(chosen, confidence, bool(votes), list(others.items()))


def _agreed(probability: float, num_readings: int) -> float:
    """The probability of a caption that has that mean over readings: several that agree know more than one.

    Fitted to 400 drawings of molecules no training saw, each read one, two and four times; LOG.md has 300 others.
    """
    odds = probability * num_readings**0.75
    return min(1.0, odds / (odds + max(0.0, 1 - probability)))


def _seen(pixels: np.ndarray, turn_deg: int, scale: float) -> np.ndarray:
    """A picture turned clockwise and scaled."""
    if turn_deg:
        pixels = np.ascontiguousarray(np.rot90(pixels, -turn_deg // 90))
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)
    return pixels


def _size_in_batch(pixels: np.ndarray) -> tuple[int, int]:
    return round_up(pixels.shape[0]), round_up(pixels.shape[1])


def _of_like_size(pictures: Sequence[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    """Places of pictures of about the same area, those of one size side by side, at most batch_size at a time."""
    def order(place: int) -> tuple[int, int]:
        height, width = _size_in_batch(pictures[place])
        return height * width, height

    places = sorted(range(len(pictures)), key=order)
    for start in range(0, len(places), batch_size):
        yield places[start : start + batch_size]
