"""Progress of Spark's Python workers: the number of finished rows, sent to the driver while tasks run.

An accumulator of Spark arrives when its task ends, and tasks take minutes. So workers send their counts as datagrams:
one that is lost is made up for by the next, and where none can be sent, work goes on uncounted.
"""

import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from pyspark import TaskContext
from pyspark.sql import SparkSession

from lib.progress import ProgressLine, polling

MESSAGE = struct.Struct("!16sII")  # token, partition, rows of it that are done
LOOK_EVERY_S = 0.5


class WorkerCounter:
    """Counts the rows that a task has done; every task has its own copy."""

    def __init__(self, host: str, port: int, token: bytes) -> None:
        self._address, self._token, self._done = (host, port), token, 0

    def add(self, count: int = 1) -> None:
        """Say that the task has done `count` more rows. Outside of a task nobody is told."""
        self._done += count
        task = TaskContext.get()
        if task is None or not count:
            return
        with suppress(OSError), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
            sender.sendto(MESSAGE.pack(self._token, task.partitionId(), self._done), self._address)


@contextmanager
def counted_by_workers(
    spark: SparkSession, line: ProgressLine, done_before: int, num_rows: int
) -> Iterator[WorkerCounter]:
    """While the block runs a Spark job over `num_rows` rows, move `line` on by the counts that its tasks send.

    The counter that is yielded goes to the job's Python workers. A task that is tried again counts once.
    """
    settings = spark.sparkContext.getConf()
    token = secrets.token_bytes(16)
    done: dict[int, int] = {}
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind((settings.get("spark.driver.bindAddress", ""), 0))
        receiver.setblocking(False)

        def look() -> None:
            with suppress(BlockingIOError):
                while True:
                    message = receiver.recv(MESSAGE.size + 1)
                    if len(message) == MESSAGE.size and message.startswith(token):
                        _, partition, count = MESSAGE.unpack(message)
                        done[partition] = max(count, done.get(partition, 0))
            line.update(done_before + min(num_rows, sum(done.values())))

        counter = WorkerCounter(settings.get("spark.driver.host", "localhost"), receiver.getsockname()[1], token)
        with polling(look, every_s=LOOK_EVERY_S):
            yield counter
    line.update(done_before + num_rows)
