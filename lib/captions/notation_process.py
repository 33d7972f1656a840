"""Runs a notation in a child process, since its library may crash on a malformed caption.

A crash or a hang costs the one caption that caused it. Run as `python -m lib.captions.notation_process NOTATION` this
is that process: one JSON question a line in, one JSON answer a line out, until its input ends (with its parent, say).
"""

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lib.captions.notations import AssembledText, Columns, DrawnGraph, Notation, Writing, notation_named
from lib.errors import NotationError, RuntimeMissingError

START_TIMEOUT_S = 120.0  # a library takes a second or two to load, many times that on a busy machine
ANSWER_TIMEOUT_S = 20.0  # a caption takes about a millisecond
DECIMALS = 7  # of numbers in questions
READY = "ready"
CODE = Path(__file__).resolve().parents[2]  # a registered model brings lib/ in a folder that only its process knows


class SafeNotation:
    """A notation, of which what can crash its library is asked in a child process.

    That process starts with the first such question and ends with this one. Asking raises RuntimeMissingError, with the
    cause, if it cannot be started.
    """

    def __init__(self, notation: Notation) -> None:
        self.notation = notation
        self._process: subprocess.Popen[str] | None = None

    def read(self, text: str) -> str | None:
        """The caption in standard form of joined tokens, or None if they make no valid caption."""
        caption: str | None = self._ask("read", text)
        return caption

    def read_typed(self, text: str) -> str | None:
        """The caption in standard form of what a person types, or None if it is no valid caption."""
        caption: str | None = self._ask("read_typed", text)
        return caption

    def repair(self, text: str) -> str:
        """The best caption that can be made of joined tokens that are not a valid one."""
        return self._ask("repair", text) or ""

    def write(self, caption: str, layout: Columns | None, rotation_deg: int) -> Writing | None:
        """The caption's tokens with the mark that each token names; None if the notation cannot express the caption."""
        writing: Writing | None = self._ask(
            "write", caption, layout, rotation_deg, unpack=lambda answer: Writing(*answer)
        )
        return writing

    def draw(self, caption: str, drawer: str) -> np.ndarray | None:
        """A caption as a drawer draws it, (H, W) True where there is ink; None if it cannot."""
        drawing: np.ndarray | None = self._ask("draw", caption, drawer, unpack=lambda answer: _unpacked(*answer))
        return drawing

    def assemble(self, graph: DrawnGraph) -> list[AssembledText]:
        """What is seen in a drawing as joined tokens, the likeliest first; see Notation."""
        return self._ask("assemble", graph, unpack=lambda answer: [AssembledText(*one) for one in answer]) or []

    def molfile(self, caption: str) -> str | None:
        """A caption as a molfile; None if it has none."""
        molfile: str | None = self._ask("molfile", caption)
        return molfile

    def _ask(self, function: str, *question: object, unpack: Callable[[Any], Any] = lambda answer: answer) -> Any:
        """What the notation's function answers, or None; `unpack` makes it of an answer in JSON."""
        if function not in self.notation.needs_isolation:
            try:
                return getattr(self.notation, function)(*question)
            except NotationError:
                return None
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps((function, *question), default=_listed) + "\n")
            process.stdin.flush()
            answer = json.loads(_line_of(process, ANSWER_TIMEOUT_S))
        except (BrokenPipeError, ValueError):
            self.close()
            return None  # the caption took the process down, took too long, or is answered by something else
        return None if answer is None else unpack(answer)

    def _start(self) -> "subprocess.Popen[str]":
        with tempfile.TemporaryFile("w+") as faults:  # not a pipe, which would have to be emptied
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lib.captions.notation_process", self.notation.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=faults,
                text=True,
                bufsize=1,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(filter(None, (str(CODE), os.environ.get("PYTHONPATH"))))},
            )
            if not _line_of(self._process, START_TIMEOUT_S):
                self.close()
                faults.seek(0)
                said = faults.read().strip().splitlines() or [f"no sign of it in {START_TIMEOUT_S:.0f} s"]
                raise RuntimeMissingError(
                    f"the process that reads and writes captions ({sys.executable} -m lib.captions.notation_process "
                    f"{self.notation.name}) cannot start: {said[-1]}"
                )
        return self._process

    def close(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _line_of(process: "subprocess.Popen[str]", timeout_s: float) -> str:
    """The next line that the process writes; '' if it has ended, or writes none in time."""
    assert process.stdout is not None
    is_readable = select.select([process.stdout], [], [], timeout_s)[0]
    return process.stdout.readline() if is_readable else ""


def _listed(column: np.ndarray) -> list[Any]:
    """An array as JSON can hold it."""
    listed: list[Any] = (np.round(column.astype(float), DECIMALS) if column.dtype.kind == "f" else column).tolist()
    return listed


def _packed(ink: np.ndarray) -> tuple[int, int, str]:
    """A drawing as JSON can hold it: height, width, and its pixels, eight a byte, in base 64."""
    return *ink.shape, base64.b64encode(np.packbits(ink).tobytes()).decode()


def _unpacked(height: int, width: int, bits: str) -> np.ndarray:
    packed = np.frombuffer(base64.b64decode(bits), np.uint8)
    return np.unpackbits(packed, count=height * width).reshape(height, width).view(bool)


def answer_lines(notation_name: str, lines: Iterable[str]) -> None:
    """Say that all is ready, then answer questions until there are no more."""
    # What a library prints would be taken for an answer, and all that follow for those of the question before.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    notation = notation_named(notation_name)
    print(READY, file=answers)
    for line in lines:
        function, asked, *more = json.loads(line)
        try:
            if function == "write":
                lists, rotation_deg = more
                layout = {name: np.array(column) for name, column in lists.items()} if lists else None
                answer: object = notation.write(asked, layout, rotation_deg)
            elif function == "assemble":
                assert notation.assemble is not None
                answer = notation.assemble(DrawnGraph(*map(np.array, asked)))
            elif function == "draw":
                answer = _packed(notation.draw(asked, *more))
            else:
                answer = getattr(notation, function)(asked)
            said = json.dumps(answer)
        except Exception:  # whatever a library stumbles over costs this caption alone
            said = json.dumps(None)
        print(said, file=answers)


if __name__ == "__main__":
    answer_lines(sys.argv[1], sys.stdin)
