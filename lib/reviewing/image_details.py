"""All that is shown of one caption: the prediction, its alternatives, and what it differs from."""

from typing import Any, NamedTuple

import pyarrow as pa

from lib.captions.marked_texts import Segments, marked_as_read
from lib.lake.delta_rows import DeltaRows
from lib.reviewing.doubt_queue import QUEUE_COLUMNS, TABLE
from lib.reviewing.row_index import RowIndex

PREDICTION = QUEUE_COLUMNS | {"edit_distance": pa.int32(), "split": pa.string()}
CAPTION = {"caption_index": pa.int32(), "caption": pa.string()}


class Reference(NamedTuple):
    """A reference, cut where it differs from the caption."""

    text: str
    segments: Segments


class ImageDetails(NamedTuple):
    """A prediction's columns, the caption cut where it differs from the first reference, and all references."""

    prediction: dict[str, Any]
    caption: Segments
    references: list[Reference]


class DetailsReader:
    """Reads predictions one by one. May be used by threads."""

    def __init__(self, rows: DeltaRows) -> None:
        self._predictions, self._captions = RowIndex(rows, TABLE), RowIndex(rows, "captions")

    def read(self, image_id: str, model_version: str) -> ImageDetails | None:
        """One prediction; None if there is none. Its own reference comes first, then the image's others.

        Raises UnreadableTableError.
        """
        by_models = self._predictions.read(image_id, PREDICTION)
        prediction = next((row for row in by_models if row["model_version"] == model_version), None)
        if prediction is None:
            return None
        prediction["alternatives"] = [one for one in prediction["alternatives"] or [] if one is not None]
        caption = prediction["caption"] or ""
        others = sorted(self._captions.read(image_id, CAPTION), key=lambda row: row["caption_index"] or 0)
        texts = list(dict.fromkeys(filter(None, [prediction["reference"], *(row["caption"] for row in others)])))
        compared = [marked_as_read(caption, text) for text in texts]
        references = [Reference(text, missed) for text, (_, missed) in zip(texts, compared, strict=True)]
        return ImageDetails(prediction, compared[0][0] if compared else [(False, caption)], references)
