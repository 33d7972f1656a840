"""Training on several nodes, and over real networks: `pytest -m slow tests/ray/test_several_nodes.py`."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Run
from node_cluster import ROOT, WITH_TOKEN, nodes_of, ray_nodes, watched

pytestmark = pytest.mark.slow

HAND_OVER = Path(__file__).with_name("hand_over.py")
HANDED_OVER_BYTES = 16_000_000


def hand_over(address: str, folder: Path, prefix: tuple[str, ...] = ()) -> dict:
    environment = os.environ | WITH_TOKEN | {"RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*prefix, sys.executable, str(HAND_OVER), address, str(folder)],
        capture_output=True,
        text=True,
        timeout=400,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    workers = [json.loads(file.read_text()) for file in sorted(folder.glob("worker*.json"))]
    return json.loads(done.stdout.splitlines()[-1]) | {"workers": workers}


def checkpoints(run: Run) -> list[Path]:
    return [path for path in (run.root / "checkpoints").iterdir() if path.is_dir()]


@pytest.mark.parametrize("num_nodes", [2, 3])
def test_workers_and_executors_are_spread_and_the_checkpoint_is_on_shared_storage(
    finished: Run, num_nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WITH_TOKEN.items():
        monkeypatch.setenv(name, value)
    before = set(checkpoints(finished))
    more = [f"cluster.num_workers={num_nodes}", f"cluster.num_spark_executors={num_nodes}", "training.seed=11"]
    with ray_nodes([3] * num_nodes) as address, watched(address, tmp_path) as seen:
        trained = finished.run("train_captioner", f"cluster.address={address}", *more)
        assert trained.returncode == 0, trained.stdout + trained.stderr
        workers, executors = nodes_of(seen, "RayTrainWorker"), nodes_of(seen, "RayDPExecutor")
    assert f"{num_nodes} nodes, {3 * num_nodes} cores" in trained.stderr
    assert (len(workers), len(set(workers))) == (num_nodes, num_nodes)
    assert (len(executors), len(set(executors))) == (num_nodes, num_nodes)
    (made,) = set(checkpoints(finished)) - before
    assert json.loads((made / "provenance.json").read_text())["num_workers"] == num_nodes
    assert (made / "weights.safetensors").stat().st_size > 0


def test_partitions_lie_on_every_node_and_every_byte_comes_to_one_worker(tmp_path: Path) -> None:
    with ray_nodes([1, 2, 2]) as address:
        moved = hand_over(address, tmp_path)
    num_blocks = Counter(nodes[0] for nodes in moved["lie_on"])
    assert sum(num_blocks.values()) == 16
    assert len(num_blocks) == 3
    assert num_blocks[moved["driver"]] <= 16 / 2  # a third, when tasks are spread evenly
    assert abs(sum(worker["bytes"] for worker in moved["workers"]) - HANDED_OVER_BYTES) < 1000
    assert len({worker["node"] for worker in moved["workers"]}) == 2


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def received_bytes(namespace: str) -> int:
    counted = subprocess.run(
        ["ip", "netns", "exec", namespace, "cat", "/proc/net/dev"], check=True, capture_output=True, text=True
    ).stdout
    (line,) = [line for line in counted.splitlines() if line.strip().startswith("eth0:")]
    return int(line.split(":")[1].split()[0])


@contextmanager
def networks(count: int) -> Iterator[list[str]]:
    """Network namespaces on one bridge, 10.99.0.1 and on, each with an eth0 of its own."""
    names = [f"captionlake{number}" for number in range(1, count + 1)]
    try:
        ip("link", "add", "captionlake0", "type", "bridge")
        ip("link", "set", "captionlake0", "up")
        for number, name in enumerate(names, 1):
            ip("netns", "add", name)
            ip("link", "add", f"clveth{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"clveth{number}", "master", "captionlake0", "up")
            ip("-n", name, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "route", "add", "default", "via", "10.99.0.254")  # leads nowhere; Ray wants one
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", "captionlake0"], capture_output=True)


def may_make_networks() -> bool:
    try:
        with networks(1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def test_on_machines_of_their_own_network_the_driver_receives_its_part_alone(tmp_path: Path) -> None:
    if not may_make_networks():
        pytest.skip("network namespaces need root and iproute2")
    hosts = [f"10.99.0.{number}" for number in range(1, 5)]
    with networks(4) as names:
        prefixes = [["ip", "netns", "exec", name] for name in names]
        with ray_nodes([0, 2, 2, 2], prefixes, hosts) as address:
            before = received_bytes(names[0])
            moved = hand_over(address, tmp_path, tuple(prefixes[0]))
            at_driver = received_bytes(names[0]) - before
            elsewhere = [received_bytes(name) for name in names[1:]]
    print(f"received by the driver's machine {at_driver:,} bytes, by the others {elsewhere}")
    assert abs(sum(worker["bytes"] for worker in moved["workers"]) - HANDED_OVER_BYTES) < 1000
    assert moved["driver"] not in {worker["node"] for worker in moved["workers"]}
    assert at_driver < 0.75 * HANDED_OVER_BYTES  # a quarter of the partitions, and what Ray and Spark say to each other
