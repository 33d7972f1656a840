"""Pictures to captions in standard form, with what else they could be: a checkpoint, its notation and a beam search."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lib.notation_process import NotationProcess
from lib.notations import notation_named
from model.batches import as_ink, stack_pictures
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


class PredictedCaption(NamedTuple):
    """A caption, and the other candidates, best first, with log-probability / tokens ** length_penalty as scores."""

    caption: str
    confidence: float  # probability, by the model's own account, that the caption is right
    is_valid: bool
    alternatives: list[tuple[str, float]]


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
        """Caption cleaned pictures (H, W) or (H, W, 3) of any sizes; none depends on the others."""
        captions: dict[int, PredictedCaption] = {}
        for places in _of_one_size(pictures, self.settings.batch_size):
            images = stack_pictures([pictures[place] for place in places], self.network.config.num_channels)
            beams = beam_search(
                self.network, as_ink(images.to(next(self.network.parameters()).device)), self.settings.num_beams,
                self.max_tokens, self.settings.length_penalty,
            )
            for place, candidates in zip(places, beams, strict=True):
                captions[place] = self._choose(candidates)
        return [captions[place] for place in range(len(pictures))]

    def _choose(self, candidates: list[Candidate]) -> PredictedCaption:
        """The first candidate that is valid; candidates that mean the same add to its confidence."""
        texts = [self.notation.join(self.vocabulary.decode(one.token_ids)) for one in candidates]
        read = [self.asked.read(text) for text in texts]
        best = next((place for place, caption in enumerate(read) if caption is not None), None)
        chosen = self.asked.repair(texts[0]) if best is None else read[best]
        assert chosen is not None
        same = [one for one, caption in zip(candidates, read, strict=True) if caption == chosen]
        others: dict[str, float] = {}
        for one, caption, text in zip(candidates, read, texts, strict=True):
            if (caption or text) != chosen:
                others.setdefault(caption or text, one.score)
        confidence = sum(one.probability for one in same) if same else candidates[0].probability
        return PredictedCaption(chosen, min(1.0, confidence), best is not None, list(others.items()))


def _of_one_size(pictures: Sequence[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    """Places of pictures of the same height and width, at most batch_size at a time."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for place, pixels in enumerate(pictures):
        by_size.setdefault(pixels.shape[:2], []).append(place)
    for places in by_size.values():
        for start in range(0, len(places), batch_size):
            yield places[start : start + batch_size]
