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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lib.captions.notations import AssembledText, Columns, DrawnGraph, Writing, notation_named
from lib.errors import RuntimeMissingError

START_TIMEOUT_S = 120.0  # a library takes a second or two to load, many times that on a busy machine
ANSWER_TIMEOUT_S = 20.0  # a caption takes about a millisecond
DECIMALS = 7  # of probabilities
READY = "ready"
CODE = Path(__file__).resolve().parents[2]  # a registered model brings lib/ in a folder that only its process knows


class NotationProcess:
    """Reads and writes captions in one notation. Its process starts with the first question and ends with this one.

    Asking raises RuntimeMissingError, with the cause, if the process cannot be started.
    """

    def __init__(self, notation_name: str) -> None:
        self.notation_name = notation_name
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
        lists = None if layout is None else {name: column.tolist() for name, column in layout.items()}
        answer = self._ask("write", caption, lists, rotation_deg)
        return Writing(*answer) if answer else None

    def draw(self, caption: str, drawer: str) -> np.ndarray | None:
        """A caption as a drawer draws it, (H, W) True where there is ink; None if it cannot."""
        answer = self._ask("draw", caption, drawer)
        return _unpacked(*answer) if answer else None

    def assemble(self, graph: DrawnGraph) -> list[AssembledText]:
        """What is seen in a drawing as joined tokens, the likeliest first; see Notation."""
        parts = (np.round(part.astype(float), DECIMALS) if part.dtype.kind == "f" else part for part in graph)
        answer = self._ask("assemble", *(part.tolist() for part in parts))
        return [AssembledText(*one) for one in answer or ()]

    def molfile(self, caption: str) -> str | None:
        """A caption as a molfile; None if it has none."""
        molfile: str | None = self._ask("molfile", caption)
        return molfile

    def _ask(self, *question: object) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            return json.loads(_line_of(process, ANSWER_TIMEOUT_S))
        except (BrokenPipeError, ValueError):
            self.close()
            return None  # the caption took the process down, took too long, or is answered by something else

    def _start(self) -> "subprocess.Popen[str]":
        with tempfile.TemporaryFile("w+") as faults:  # not a pipe, which would have to be emptied
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lib.captions.notation_process", self.notation_name],
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
                    f"{self.notation_name}) cannot start: {said[-1]}"
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
        kind, text, *more = json.loads(line)
        try:
            if kind == "write":
                lists, rotation_deg = more
                layout = {name: np.array(column) for name, column in lists.items()} if lists else None
                answer: object = notation.write(text, layout, rotation_deg)
            elif kind == "assemble":
                assert notation.assemble is not None
                answer = notation.assemble(DrawnGraph(*(np.array(part) for part in (text, *more))))
            elif kind == "draw":
                answer = _packed(notation.draw(text, *more))
            else:
                answer = getattr(notation, kind)(text, *(np.array(column) for column in more))
            said = json.dumps(answer)
        except Exception:  # whatever a library stumbles over costs this caption alone
            said = json.dumps(None)
        print(said, file=answers)


if __name__ == "__main__":
    answer_lines(sys.argv[1], sys.stdin)
