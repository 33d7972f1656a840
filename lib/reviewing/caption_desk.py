"""Checks and draws captions by their notation: whether a correction is well formed, and its drawing."""

import threading
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.captioning.redrawing import DRAWN_ALIKE_FROM, INK_FROM, Ink, Laid, lay_over
from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.errors import CorruptImageError
from lib.images.cleaning import decode_png
from lib.serving.refusals import RefusedRequestError

# Blue, green, red; static/review.css has the same ones.
COVERED, DRAWN_ALONE, BARE = (235, 99, 37), (12, 88, 234), (211, 38, 192)
NEAR_PX = 3  # a stroke that far from another one is the same
NUM_KEPT = 64  # overlays, for those who go back and forth


class CaptionDesk:
    """A notation, asked one question at a time in a process of its own where it needs one. May be used by threads."""

    def __init__(self, notation_name: str, max_characters: int) -> None:
        """Raises NotationError if there is no such notation."""
        self.notation = notation_named(notation_name)
        self._safe = SafeNotation(self.notation)
        self._max_characters = max_characters
        self._lock = threading.Lock()
        self.overlay = lru_cache(NUM_KEPT)(self._overlay)

    @property
    def can_draw(self) -> bool:
        """Whether captions in this notation can be drawn."""
        return bool(self.notation.drawers)

    @property
    def has_structures(self) -> bool:
        """Whether captions in this notation can be opened in an editor of structures."""
        return self.notation.molfile is not None

    def molfile(self, text: str) -> str:
        """The molfile of a typed caption. Raises RefusedRequestError that says why there is none."""
        caption = self.standard_form(text)
        with self._lock:
            molfile = self._safe.molfile(caption) if self.has_structures else None
        if molfile is None:
            raise RefusedRequestError(422, "this caption has no structure that can be drawn")
        return molfile

    def standard_form(self, text: str) -> str:
        """A typed caption in standard form. Raises RefusedRequestError that says why it is none."""
        text = " ".join(text.encode(errors="ignore").decode().split())
        if not text:
            raise RefusedRequestError(422, "type the right caption first")
        if len(text) > self._max_characters:
            raise RefusedRequestError(
                422, f"the correction has {len(text):,} characters; at most {self._max_characters:,} are stored"
            )
        with self._lock:
            caption = self._safe.read_typed(text)
        if caption is None:
            raise RefusedRequestError(422, f"this is not {self.notation.typed_as}")
        return caption

    def _overlay(self, caption: str, pixels_shape: tuple[int, ...], pixels: bytes) -> bytes | None:
        """The caption drawn as the image was drawn and laid on it, as a transparent PNG of the image's size.

        The cleaned image is uint8, (H, W) or (H, W, 3), given by its shape and bytes. None if it cannot be drawn.
        """
        image = np.frombuffer(pixels, np.uint8).reshape(pixels_shape)
        best: Laid | None = None
        for group in self.notation.drawers:
            for drawer in group:
                with self._lock:
                    drawing = self._safe.draw(caption, drawer)
                if drawing is not None:
                    laid = lay_over(image, drawing)
                    best = laid if best is None or laid.correlation > best.correlation else best
            if best is not None and best.correlation >= DRAWN_ALIKE_FROM:
                break
        return _transparent(best) if best is not None else None

    def close(self) -> None:
        """End the notation's process."""
        with self._lock:
            self._safe.close()


def decoded_png(image: bytes) -> NDArray[np.uint8]:
    """The pixels of a cleaned image: (H, W) grey or (H, W, 3) RGB. Raises RefusedRequestError if it is damaged."""
    try:
        return decode_png(image)
    except CorruptImageError:
        raise RefusedRequestError(422, "the cleaned image is damaged: clean it again") from None


def _transparent(laid: Laid) -> bytes:
    """The drawing as a PNG, the image's ink that it leaves bare beside it, each in its colour."""
    is_alone, is_bare = ~_near(laid.image), ~_near(laid.drawing)
    colour = np.empty((*laid.drawing.shape, 4), np.uint8)
    colour[..., :3] = np.where(is_alone[..., None], DRAWN_ALONE, COVERED)
    colour[..., :3][is_bare] = BARE
    colour[..., 3] = np.clip(255 * np.where(is_bare, laid.image, laid.drawing), 0, 255)
    done, content = cv2.imencode(".png", colour)
    assert done
    return bytes(content)


def _near(ink: Ink) -> NDArray[np.bool_]:
    """Where there is ink within NEAR_PX."""
    window = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)
    return cv2.dilate((ink > INK_FROM).astype(np.uint8), window).astype(bool)
