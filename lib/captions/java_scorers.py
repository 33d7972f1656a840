"""The two programs in Java inside pycocoevalcap (extra photos): the tokenizer and METEOR, run by the Java of Spark.

The package's own wrappers take any `java`, write into the package's folder, and hang if METEOR fails.
"""

import importlib.util
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lib.errors import RuntimeMissingError
from lib.lake.java import java_home

TOKENIZER = ("-cp", "tokenizer/stanford-corenlp-3.4.1.jar", "edu.stanford.nlp.process.PTBTokenizer")
METEOR = ("-Xmx2G", "-jar", "meteor/meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm")
ANSWER_SECONDS = 600  # for one answer; the longest, over all captions of a split, takes some seconds


def words_of(sentences: Sequence[str]) -> list[str]:
    """Each sentence as tokens of the Penn Treebank tokenizer, without the punctuation that pycocoevalcap lists.

    Words are in lower case and joined by blanks; '' where there is none.
    Raises RuntimeMissingError if pycocoevalcap or Java 17 is missing or the tokenizer fails.
    """
    package = _package()
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    # Any white space that the tokenizer might take for the end of a line becomes a blank.
    lines = "".join(" ".join(sentence.split()) + "\n" for sentence in sentences)
    try:
        answer = subprocess.run(
            [*_java(), *TOKENIZER, "-preserveLines", "-lowerCase"],
            cwd=package,
            input=lines,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _failed("the tokenizer", _late()) from None
    tokenized = answer.stdout.split("\n")[:-1]
    if answer.returncode or len(tokenized) != len(sentences):
        raise _failed("the tokenizer", answer.stderr)
    return [" ".join(word for word in line.split(" ") if word not in PUNCTUATIONS).strip() for line in tokenized]


class Meteor:
    """METEOR in a child process; it starts with the first request, within seconds, and ends with close()."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._is_late = False
        self._faults: IO[str] | None = None

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """METEOR of a whole set of captions, given in words with one or more references each.

        Raises RuntimeMissingError if pycocoevalcap or Java 17 is missing or METEOR fails.
        """
        try:
            statistics = []
            for prediction, of_image in zip(predictions, references, strict=True):
                fields = (text.replace("|||", "") for text in (*of_image, prediction))
                statistics.append(self._ask(" ||| ".join(("SCORE", *fields)), num_lines=1))
            # One score for each image comes before the one for all.
            return float(self._ask(" ||| ".join(("EVAL", *statistics)), num_lines=len(statistics) + 1))
        except (OSError, ValueError) as error:
            said = self.close()
            raise _failed("METEOR", _late() if self._is_late else said or str(error)) from None

    def _ask(self, question: str, num_lines: int) -> str:
        """The last of so many lines of answer. Raises ValueError or OSError if the process ends before.

        It is killed if the answer takes longer than ANSWER_SECONDS.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(ANSWER_SECONDS, self._end_late, (process,))
        timer.start()
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            line = [process.stdout.readline() for _ in range(num_lines)][-1].strip()
        finally:
            timer.cancel()
        if not line or line.startswith("Error"):
            raise ValueError(line)
        return line

    def _end_late(self, process: "subprocess.Popen[str]") -> None:
        self._is_late = True
        process.kill()

    def _start(self) -> "subprocess.Popen[str]":
        # Not a pipe, which would have to be emptied.
        self._faults = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (close() reads and closes it)
        self._process = subprocess.Popen(
            [*_java(), *METEOR],
            cwd=_package(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._faults,
            encoding="utf-8",
            errors="replace",
        )
        return self._process

    def close(self) -> str:
        """End the process; returns what it said on stderr."""
        process, faults, self._process, self._faults = self._process, self._faults, None, None
        if process is not None:
            process.kill()
            process.communicate()
        if faults is None:
            return ""
        with faults:
            faults.seek(0)
            return faults.read()


def _java() -> tuple[str, ...]:
    """The command that starts Java; texts and numbers are read and written alike in every locale."""
    return str(java_home() / "bin" / "java"), "-Dfile.encoding=UTF-8", "-Duser.language=en"


def _package() -> Path:
    """The folder of pycocoevalcap, in which nothing is written."""
    found = importlib.util.find_spec("pycocoevalcap")
    if found is None or found.submodule_search_locations is None:
        raise RuntimeMissingError(
            "BLEU, METEOR, ROUGE-L and CIDEr need the Python package pycocoevalcap: install captionlake's extra photos"
        )
    return Path(next(iter(found.submodule_search_locations)))


def _late() -> str:
    return f"no answer within {ANSWER_SECONDS} seconds; it was killed"


def _failed(program: str, said: str) -> RuntimeMissingError:
    *_, last = ["no word of why", *said.strip().splitlines()]
    return RuntimeMissingError(f"{program} of pycocoevalcap failed: {last}")
