"""Looks at a Ray cluster until told to end, and writes what it saw: `python tests/ray/watch_nodes.py ADDRESS FILE`."""

import json
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import ray
import ray._private.state
from ray._private.internal_api import node_stats

WATCH_EVERY_S = 0.3


def watch(address: str, file: Path) -> None:
    ray.init(address=address, log_to_driver=False)
    seen: dict[str, Any] = {"actors": {}, "bytes": {}}
    while True:
        for actor, about in ray._private.state.actors().items():
            if node := about["Address"]["NodeID"]:
                seen["actors"][actor] = {"class": about["ActorClassName"], "node": node}
        for node in ray.nodes():
            with suppress(grpc.RpcError):
                stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
                most = seen["bytes"].get(node["NodeID"], 0)
                seen["bytes"][node["NodeID"]] = max(most, stats.store_stats.object_store_bytes_used)
        written = file.with_suffix(".written")
        written.write_text(json.dumps(seen))
        written.rename(file)
        time.sleep(WATCH_EVERY_S)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watch(sys.argv[1], Path(sys.argv[2]))
