"""Hands 16 MB from RayDP's Spark to two workers and prints where the bytes lay: `hand_over.py ADDRESS FOLDER`."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyspark.sql.functions as F
import ray
import ray.experimental

from lib.settings import load_settings
from lib.training.ray_cluster import ray_cluster, raydp_spark
from lib.training.row_blocks import hand_over
from lib.training.worker_group import WorkerGroup, run_on_ray_train

NUM_PARTITIONS = 16
ROW_CHARACTERS = 1_000_000  # one row each; Ray hands values below 100 kB to the driver itself


def count(config: dict[str, Any], group: WorkerGroup) -> None:
    """Write how many bytes came to this worker."""
    indices = np.arange(group.rank, NUM_PARTITIONS, group.num_workers)
    num_bytes = sum(len(row["image"]) for row in ray.get(config["rows"]).read(indices))
    told = {"node": ray.get_runtime_context().get_node_id(), "bytes": num_bytes}
    Path(config["folder"], f"worker{group.rank}.json").write_text(json.dumps(told))


def main(address: str, folder: str) -> None:
    overrides = [f"storage.root={folder}", "landing.path=unused", f"cluster.address={address}"]
    cluster = load_settings("molecules", "local", [*overrides, "cluster.num_spark_executors=2"]).cluster
    with ray_cluster(cluster), raydp_spark(cluster) as spark:
        image = F.expr(f"cast(repeat(md5(cast(id as string)), {ROW_CHARACTERS // 32}) as binary)").alias("image")
        token_ids = F.expr("array(4, 5, 6)").alias("token_ids")
        rows = hand_over(spark.range(0, NUM_PARTITIONS, 1, NUM_PARTITIONS).select(image, token_ids))
        lie_on = [about["node_ids"] for about in ray.experimental.get_object_locations(rows.blocks).values()]
        run_on_ray_train(count, {"folder": folder, "rows": ray.put(rows)}, 2, 1, folder)
        print(json.dumps({"driver": ray.get_runtime_context().get_node_id(), "lie_on": lie_on}))


if __name__ == "__main__":
    main(*sys.argv[1:])
