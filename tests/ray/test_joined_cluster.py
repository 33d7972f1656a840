"""What is asked of a real Ray cluster before anything starts on it: `pytest tests/ray/test_joined_cluster.py`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run
from node_cluster import ray_nodes
from ray._raylet import GcsClient

from lib.errors import RuntimeMissingError
from lib.joined_cluster import check_cluster_answers

KEY, NAMESPACE = b"CLUSTER_METADATA", b"cluster"
LOOK = """
import sys
from pathlib import Path
import ray
from lib.errors import SettingsError
from lib.joined_cluster import check_folder_is_shared, check_room
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
for check in (lambda: check_room(2), lambda: check_room(3), lambda: check_folder_is_shared(Path(sys.argv[2]) / "all"),
              lambda: check_folder_is_shared(Path(sys.argv[2]) / "some")):
    try:
        check()
        print("fine")
    except SettingsError as error:
        print(error)
"""


def may_hide_folders() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    (folder / "some").mkdir()
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A head and a second node, which has another folder than the head where `some` is, as another machine would."""
    hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {folder / "some"} && exec "$@"', "sh"]
    with ray_nodes([1, 1], prefixes=[[], hidden if may_hide_folders() else []]) as address:
        yield address


def test_a_cluster_of_our_versions_may_be_joined(address: str) -> None:
    check_cluster_answers(address)


@pytest.mark.parametrize(
    ("key", "version", "sentence"),
    [("ray_version", "2.9.3", r"runs Ray 2\.9\.3, here"), ("python_version", "3.9.1", r"runs Python 3\.9\.1, here")],
)
def test_a_cluster_of_another_version_is_refused(address: str, key: str, version: str, sentence: str) -> None:
    gcs = GcsClient(address=address)
    said = gcs.internal_kv_get(KEY, namespace=NAMESPACE)
    gcs.internal_kv_put(KEY, json.dumps(json.loads(said) | {key: version}).encode(), True, namespace=NAMESPACE)
    try:
        with pytest.raises(RuntimeMissingError, match=sentence):
            check_cluster_answers(address)
    finally:
        gcs.internal_kv_put(KEY, said, True, namespace=NAMESPACE)


def test_too_few_cores_and_a_folder_that_is_not_shared_are_told(address: str, folder: Path) -> None:
    looked = subprocess.run(
        [sys.executable, "-c", LOOK, address, str(folder)], capture_output=True, text=True, timeout=200,
    )
    assert looked.returncode == 0, looked.stderr
    enough, too_few, shared, unshared = looked.stdout.splitlines()
    assert enough == "fine"
    assert too_few.endswith("come to 3 cores, the Ray cluster has 2")
    assert shared == "fine"
    if may_hide_folders():
        assert unshared.startswith(f"storage.root {folder / 'some'} is not a folder that all machines")
    assert list((folder / "some").iterdir()) == []


def test_the_job_stops_at_an_address_where_nobody_is(tmp_path: Path) -> None:
    refused = Run(tmp_path).run("train_captioner", "cluster.address=127.0.0.1:1")
    assert refused.returncode == 2
    assert "no Ray cluster answers at cluster.address '127.0.0.1:1'" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
