"""Ray clusters of several nodes on one machine: each node has processes, ports and an object store of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).parent / "ray"
START_WITHIN_S = 120
WITH_TOKEN = {"RAY_AUTH_TOKEN": "b1946ac92492d2347c6235b4d2611184"}  # for who joins
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}  # a node says that it has started and then goes on
ALONE = ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--object-store-memory=200000000"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def ray_nodes(
    cores: Sequence[int], prefixes: Sequence[list[str]] | None = None, hosts: Sequence[str] | None = None
) -> Iterator[str]:
    """Nodes with so many cores each, the first of them the head; yields the head's address.

    A node's command may stand behind a prefix (`ip netns exec NAME`) and have a host of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="rn", dir="/tmp"))  # short: Ray makes sockets in it
    prefixes = prefixes or [[]] * len(cores)
    hosts = hosts or [""] * len(cores)
    port = free_port()
    address = f"{hosts[0] or '127.0.0.1'}:{port}"
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for number, (count, prefix, host) in enumerate(zip(cores, prefixes, hosts, strict=True)):
            head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
            command = [*prefix, str(RAY), "start", "--block", *(head if number == 0 else [f"--address={address}"])]
            command += [f"--num-cpus={count}", *ALONE, *([f"--node-ip-address={host}"] if host else [])]
            log = folder / f"node{number}.log"
            with log.open("wb") as output:
                environment = os.environ | WITH_TOKEN | UNBUFFERED | {"RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)}
                nodes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment))
            _wait_for(log, "Ray runtime started", nodes[-1])
        yield address
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
        for node in nodes:
            node.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def watched(address: str, folder: Path) -> Iterator[Path]:
    """Watch the cluster while the block runs; the file then tells where actors ran and how full stores were."""
    seen = folder / "seen.json"
    watcher = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("watch_nodes.py")), address, str(seen)],
        cwd=ROOT,
        env=os.environ | WITH_TOKEN | {"RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)},
    )
    try:
        yield seen
    finally:
        watcher.terminate()
        watcher.wait(timeout=60)


def nodes_of(seen: Path, class_name: str) -> list[str]:
    """The nodes on which actors of that class ran, one entry for each actor."""
    return [actor["node"] for actor in json.loads(seen.read_text())["actors"].values() if class_name in actor["class"]]


def stores(seen: Path) -> dict[str, int]:
    """The most bytes that each node's object store held."""
    return json.loads(seen.read_text())["bytes"]


def _wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if text in log.read_text():
            return
        time.sleep(0.2)
    raise AssertionError(f"a Ray node did not start: {log.read_text()}")
