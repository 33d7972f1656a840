"""A model that MLflow loads as the second captioner: image files in, a column `caption` or plain strings out."""

import math
import traceback
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lib.captioning.second_captioner import SecondCaption, failed
from lib.lake.pyfunc_models import PyfuncModel

IMAGE_COLUMN, CAPTION_COLUMN = "image", "caption"
MAX_CHARACTERS = 10_000  # of a caption


class PyfuncCaptioner:
    """A loaded model, asked as our own registered ones are: a row for each image, its file's bytes in `image`."""

    def __init__(self, model: PyfuncModel) -> None:
        self._model = model

    def caption(self, images: Sequence[bytes]) -> list[SecondCaption]:
        """One entry for each image file, in the order given. A model that fails at several is asked of each alone."""
        try:
            said = self._model.predict(pd.DataFrame({IMAGE_COLUMN: list(images)}))
        except Exception as error:  # whatever a model of others stumbles over
            if len(images) > 1:
                return [entry for image in images for entry in self.caption([image])]
            reason = f"the second captioner failed at this image ({type(error).__name__})"
            return [failed(reason, traceback.format_exc())]
        captions = _captions_in(said)
        if captions is None or len(captions) != len(images):
            fault = f"the second captioner answered {_described(said)}, not a caption for each image"
            return [failed(fault) for _ in images]
        return [_entry(caption) for caption in captions]


def _captions_in(said: Any) -> list[Any] | None:
    """The values of a column `caption`, or the strings themselves; None if there is neither."""
    if isinstance(said, pd.DataFrame):
        return said[CAPTION_COLUMN].tolist() if CAPTION_COLUMN in said else None
    values = said.tolist() if hasattr(said, "tolist") else said
    return list(values) if isinstance(values, list | tuple) else None


def _entry(caption: Any) -> SecondCaption:
    if isinstance(caption, str) and len(caption) > MAX_CHARACTERS:
        return failed(f"the second captioner answered {len(caption)} characters, more than {MAX_CHARACTERS}")
    if isinstance(caption, str):
        return SecondCaption(caption.encode("utf-8", "replace").decode())  # JSON has no halves of characters
    is_nan = isinstance(caption, float) and math.isnan(caption)
    if caption is None or caption is pd.NA or is_nan:  # what stands for null in a data frame
        return failed("the second captioner has no caption for this image")
    return failed(f"the second captioner answered {type(caption).__name__} for this image, not text")


def _described(said: Any) -> str:
    if isinstance(said, pd.DataFrame) and CAPTION_COLUMN not in said:
        return f"a data frame without a column {CAPTION_COLUMN}"
    num_rows = f" of {len(said)} rows" if hasattr(said, "__len__") and not isinstance(said, str) else ""
    return f"{type(said).__name__}{num_rows}"
