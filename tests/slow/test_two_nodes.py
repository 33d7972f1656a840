"""The init script on two machines: each a network, process and mount namespace of its own, joined by a cable.

Left out by default, since it must be root on Linux: `pytest -m slow tests/slow/test_two_nodes.py`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "conf" / "init" / "start_ray.sh"
CAN_MAKE_MACHINES = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip")
DRIVER, WORKER = "10.77.0.1", "10.77.0.2"
PORT = "6385"
COUNT_NODES = """
import collections, ray
ray.init(address="auto", log_to_driver=False)
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    import socket, time
    time.sleep(1)
    return socket.gethostname(), ray.util.get_node_ip_address()
seen = collections.Counter(ray.get([where.remote() for _ in range(8)]))
print("alive", sum(node["Alive"] for node in ray.nodes()))
for host, address in sorted(seen):
    print("ran on", host, address)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_MAKE_MACHINES, reason="needs root on Linux, unshare(1) and ip(8)"),
]


class Machine(NamedTuple):
    """A machine that ends, with all its processes, when its first process does."""

    pid: int
    home: Path

    def run(self, *command: str, timeout_s: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", "--uts"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "CAPTIONLAKE_ENVIRONMENT": sys.prefix}
        return subprocess.run(
            [*enter, *command], env=environment | variables, capture_output=True, text=True, timeout=timeout_s
        )

    def start_ray(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("bash", str(SCRIPT), **variables)


@contextmanager
def machine(name: str, home: Path) -> Iterator[Machine]:
    """A machine called `name` without a network, its shared memory and temporary files of Ray its own."""
    home.mkdir()
    (home / "hosts").write_text(f"127.0.0.1 localhost\n{DRIVER} driver\n{WORKER} worker\n")
    boot = f"hostname {name}; ip link set lo up; mkdir -p /tmp/ray"
    # No server of names is at the other end of the cable: each question would wait for its time-out.
    boot += f"; mount --bind {home}/hosts /etc/hosts; mount --bind /dev/null /etc/resolv.conf"
    boot += "; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp/ray; echo up; exec sleep infinity"
    apart = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen([*apart, "bash", "-ec", boot], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        yield Machine(int(first), home)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def cable(one: Machine, other: Machine) -> Iterator[None]:
    """A cable between two machines, each of which sends through it whatever is not its own."""
    ends = (f"cl{one.pid}", f"cl{other.pid}")
    subprocess.run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]], check=True)
    for end, owner, address, beyond in zip(ends, (one, other), (DRIVER, WORKER), (WORKER, DRIVER), strict=True):
        subprocess.run(["ip", "link", "set", end, "netns", str(owner.pid)], check=True)
        steps = f"ip addr add {address}/24 dev {end}; ip link set {end} up; ip route add default via {beyond}"
        assert owner.run("bash", "-ec", steps).returncode == 0
    yield  # the cable goes with the machines


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Machine]:
    with machine("driver", tmp_path / "driver") as made:
        yield made


@pytest.fixture
def worker(driver: Machine, tmp_path: Path) -> Iterator[Machine]:
    with machine("worker", tmp_path / "worker") as made, cable(driver, made):
        yield made


def test_two_machines_become_one_ray_cluster_that_runs_tasks_on_both(driver: Machine, worker: Machine) -> None:
    token = {"RAY_AUTH_TOKEN": "0" * 64}
    headed = driver.start_ray(DB_IS_DRIVER="TRUE", **token)
    assert headed.returncode == 0, headed.stdout + headed.stderr
    joined = worker.start_ray(DB_IS_DRIVER="FALSE", DB_DRIVER_IP=DRIVER, CAPTIONLAKE_RETRY_S="1", **token)
    assert joined.returncode == 0, joined.stdout + joined.stderr
    counted = driver.run(sys.executable, "-W", "ignore", "-c", COUNT_NODES, RAY_AUTH_MODE="token", **token)
    assert counted.stdout.splitlines() == ["alive 2", f"ran on driver {DRIVER}", f"ran on worker {WORKER}"], (
        counted.stderr
    )


def test_a_machine_with_another_token_is_turned_away(driver: Machine, worker: Machine) -> None:
    assert driver.start_ray(DB_IS_DRIVER="TRUE", RAY_AUTH_TOKEN="0" * 64).returncode == 0
    stranger = worker.run(
        f"{sys.prefix}/bin/ray", "start", f"--address={DRIVER}:{PORT}", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="1" * 64
    )
    assert stranger.returncode != 0
    assert "nauthenticated" in stranger.stdout + stranger.stderr
