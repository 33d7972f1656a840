"""Requests per second and latency of the server at 1, 8 and 64 clients, beside the bare captioner on the same cores.

`python -m bench.serving [--requests 200] [--clients 1 8 64] [--processes 2]`

Each request has one image, a drawing of another molecule. The bare captioner is as many processes as the server has,
each with its part of the same images, in batches of the server's size. Both are measured in one run, and nothing else
may run. The load comes from this process, on the same machine, and costs the server some of its cores.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx
import numpy as np

from lib.images.cleaning import encode_png
from lib.lake.models import pretrained_model
from lib.molecules.drawing import draw_molecule
from lib.molecules.sources import label_molecule, parse_smiles, shipped_smiles
from lib.serving.model_process import ModelProcess, ModelSource
from lib.settings import load_settings

RESULTS = Path(__file__).parent / "results" / "serving.json"
TIMEOUT_S = 600


def drawings(num_images: int) -> list[bytes]:
    """Worn drawings of molecules, the same ones each time."""
    settings, rng = load_settings("molecules", "local").drawing, np.random.default_rng(0)
    molecules = (parse_smiles(smiles) for smiles in shipped_smiles())
    inchis = islice(filter(None, (label_molecule(one, 8, 40) for one in molecules if one)), num_images)
    return [encode_png(draw_molecule(inchi, settings, rng).pixels) for inchi in inchis]


def bare_images_per_s(images: list[bytes], num_processes: int, batch_size: int) -> float:
    """Speed of the captioner without a server."""
    source = ModelSource({"molecules": pretrained_model("molecules", "the bench")}, (), None, 1, "local")
    processes = [ModelProcess(source) for _ in range(num_processes)]

    def caption(index: int) -> None:
        mine = images[index::num_processes]
        for start in range(0, len(mine), batch_size):
            processes[index].caption("molecules", mine[start : start + batch_size], TIMEOUT_S)

    with ThreadPoolExecutor(num_processes) as threads:
        list(threads.map(ModelProcess.start, processes))
        started = time.monotonic()
        list(threads.map(caption, range(num_processes)))
        took_s = time.monotonic() - started
    for process in processes:
        process.close()
    return len(images) / took_s


async def latencies_s(url: str, images: list[bytes], num_clients: int) -> tuple[list[float], float]:
    """Seconds to each answer, and to all of them, when so many clients ask, each again as soon as it is answered."""
    waiting = iter(images)
    took: list[float] = []

    async def ask(client: httpx.AsyncClient) -> None:
        for image in waiting:
            started = time.monotonic()
            answer = await client.post("/caption", files={"images": image})
            answer.raise_for_status()
            took.append(time.monotonic() - started)

    started = time.monotonic()
    limits = httpx.Limits(max_connections=num_clients)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as client:
        await asyncio.gather(*(ask(client) for _ in range(num_clients)))
    return took, time.monotonic() - started


def measured(images: list[bytes], clients: list[int], num_processes: int) -> list[dict[str, float]]:
    """A row for each number of clients."""
    with tempfile.TemporaryDirectory() as root:
        settings = [f"storage.root={root}", "serving.port=0", f"serving.num_processes={num_processes}"]
        settings += [f"serving.deadline_s={TIMEOUT_S}", "serving.requests_per_minute=1000000"]
        command = [sys.executable, "-m", "jobs.serve_captions", *(word for one in settings for word in ("--set", one))]
        faults = Path(root) / "stderr"
        with faults.open("w") as file:
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        try:
            url = _ready_at(server, faults)
            rows = []
            for num_clients in clients:
                took, total_s = asyncio.run(latencies_s(url, images, num_clients))
                p50, p99 = np.percentile(took, [50, 99])
                rows.append({"clients": num_clients, "per_s": len(took) / total_s, "p50_s": p50, "p99_s": p99})
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    return rows


def _ready_at(server: "subprocess.Popen[bytes]", faults: Path) -> str:
    """The server's address, once its models are warm."""
    while server.poll() is None:
        time.sleep(0.2)
        found = re.search(r"listens at (\S+),", faults.read_text())
        try:
            if found and httpx.get(f"{found.group(1)}/readyz").status_code == httpx.codes.OK:
                return found.group(1)
        except httpx.TransportError:
            pass  # it begins to listen
    raise RuntimeError(faults.read_text())


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200, help="for each number of clients (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    images = drawings(arguments.requests)
    batch_size = load_settings("molecules", "local").serving.batch_size
    bare = bare_images_per_s(images, arguments.processes, batch_size)
    rows = measured(images, arguments.clients, arguments.processes)
    print(f"bare captioner: {bare:.2f} images/s in {arguments.processes} processes")
    print("clients  requests/s  p50 s  p99 s  ratio to the bare captioner")
    for row in rows:
        row["ratio"] = row["per_s"] / bare
        print("{clients:7.0f}  {per_s:10.2f}  {p50_s:5.2f}  {p99_s:5.2f}  {ratio:5.2f}".format(**row))
    arguments.output.write_text(
        json.dumps({"bare_per_s": bare, "num_images": len(images), "rows": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
