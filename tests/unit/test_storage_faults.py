"""What a job says of a disk that is full or read-only: `pytest tests/unit/test_storage_faults.py`."""

import errno
import os

import pytest

from lib.job_entry import EXIT_REFUSED, exit_with_one_sentence
from lib.storage_faults import storage_fault


@pytest.mark.parametrize(("number", "what_to_do"), [(errno.ENOSPC, "make room"), (errno.EROFS, "make it writable")])
def test_a_disk_that_is_full_or_read_only_ends_a_job_in_a_sentence(
    number: int, what_to_do: str, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        raise OSError(number, os.strerror(number), "/lake/reports/report.html")

    with pytest.raises(SystemExit) as ended:
        exit_with_one_sentence(work)
    assert ended.value.code == EXIT_REFUSED
    assert caplog.messages == [
        f"StorageError: {os.strerror(number)}: {what_to_do}, then run the same command again; nothing is lost"
    ]


def test_java_says_it_in_other_words() -> None:
    said = "o166.execute.\n: org.apache.spark.sql.delta.DeltaIOException: [DELTA_CANNOT_CREATE_LOG_PATH] Cannot create"
    assert "make storage.root writable" in str(storage_fault(said))
    assert storage_fault("java.lang.NullPointerException") is None
