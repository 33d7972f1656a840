"""What is asked of a real Ray cluster before anything starts on it: `pytest tests/ray/test_asking_a_cluster.py`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run
from node_cluster import ROOT, WITH_TOKEN, ray_nodes

ASK = """
import json, sys
from pathlib import Path
import ray
from ray._raylet import GcsClient
from lib.errors import CaptionlakeError
from lib.training.joined_cluster import check_cluster_answers, check_folder_is_shared, check_room

def tell(name, check, *arguments):
    try:
        check(*arguments)
        print(name, "fine", sep=": ")
    except CaptionlakeError as error:
        print(name, error, sep=": ")

address, folder = sys.argv[1], Path(sys.argv[2])
tell("same versions", check_cluster_answers, address)
gcs, key, namespace = GcsClient(address=address), b"CLUSTER_METADATA", b"cluster"
said = gcs.internal_kv_get(key, namespace=namespace)
for name in ("ray_version", "python_version"):
    changed = json.dumps(json.loads(said) | {name: "2.9.3"}).encode()
    gcs.internal_kv_put(key, changed, True, namespace=namespace)
    tell(name, check_cluster_answers, address)
gcs.internal_kv_put(key, said, True, namespace=namespace)
ray.init(address=address, log_to_driver=False, logging_level="ERROR")
tell("two cores", check_room, 2)
tell("three cores", check_room, 3)
tell("shared", check_folder_is_shared, folder / "all")
tell("hidden", check_folder_is_shared, folder / "some")
"""


def ask(address: str, folder: Path, token: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    return subprocess.run(
        [sys.executable, "-c", ASK, address, str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env=environment | token,
    )


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


@pytest.fixture(scope="module")
def told(address: str, folder: Path) -> dict[str, str]:
    """What each question was answered with."""
    asked = ask(address, folder, WITH_TOKEN)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    return dict(line.split(": ", 1) for line in asked.stdout.splitlines())


def test_a_cluster_of_our_versions_may_be_joined(told: dict[str, str]) -> None:
    assert told["same versions"] == "fine"


@pytest.mark.parametrize("name", ["Ray", "Python"])
def test_a_cluster_of_another_version_is_refused(told: dict[str, str], name: str) -> None:
    sentence = told[f"{name.lower()}_version"]
    assert f"runs {name} 2.9.3, here is {name} " in sentence
    assert sentence.endswith("they must be the same")


def test_a_cluster_with_too_few_cores_is_refused(told: dict[str, str]) -> None:
    assert told["two cores"] == "fine"
    assert told["three cores"].endswith("come to 3 cores, the Ray cluster has 2")


def test_a_folder_that_one_node_does_not_see_is_told(told: dict[str, str], folder: Path) -> None:
    assert told["shared"] == "fine"
    assert list((folder / "some").iterdir()) == []
    if not may_hide_folders():
        pytest.skip("hiding a folder from a node needs root")
    assert told["hidden"].startswith(f"storage.root {folder / 'some'} is not a folder that all machines")


def test_a_cluster_with_another_token_is_told(address: str, tmp_path: Path) -> None:
    asked = ask(address, tmp_path, {"RAY_AUTH_TOKEN": "0" * 32})
    assert f"same versions: the Ray cluster at cluster.address '{address}' wants another token" in asked.stdout


def test_the_job_stops_at_an_address_where_nobody_is(tmp_path: Path) -> None:
    refused = Run(tmp_path).run("train_captioner", "cluster.address=127.0.0.1:1")
    assert refused.returncode == 2
    assert "no Ray cluster answers at cluster.address '127.0.0.1:1'" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
