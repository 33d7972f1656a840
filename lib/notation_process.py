"""Asks whether captions are valid, in a process of its own: RDKit can end its process on a malformed InChI.

A crash or a hang costs the one caption that caused it. Run as `python -m lib.caption_validation NOTATION` this is
that process: one JSON string a line in, `true` or `false` a line out, until its input ends (with its parent, say).
"""

import json
import select
import subprocess
import sys
from collections.abc import Sequence

ANSWER_TIMEOUT_S = 20.0  # starting RDKit takes a second or two, a caption under a millisecond


class CaptionValidator:
    """Validity of captions in one notation. Its process starts with the first caption and ends with this one."""

    def __init__(self, notation_name: str) -> None:
        self.notation_name = notation_name
        self._process: subprocess.Popen[str] | None = None

    def are_valid(self, captions: Sequence[str]) -> list[bool]:
        """One answer a caption; False for one that RDKit dies of or does not answer for."""
        return [self._is_valid(caption) for caption in captions]

    def _is_valid(self, caption: str) -> bool:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(caption) + "\n")
            process.stdin.flush()
            is_readable = select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)[0]
            answer = process.stdout.readline() if is_readable else ""
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
        return answer.strip() == "true"

    def _start(self) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib.caption_validation", self.notation_name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
        )
        return self._process

    def close(self) -> None:
        """End the process; the next caption starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _answer_lines(notation_name: str) -> None:
    from lib.notations import notation_named

    is_valid = notation_named(notation_name).is_valid
    for line in sys.stdin:
        print(json.dumps(is_valid(json.loads(line))), flush=True)


if __name__ == "__main__":
    _answer_lines(sys.argv[1])
