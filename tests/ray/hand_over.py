"""Hands 16 MB from RayDP's Spark to two workers and prints where the bytes lay: `hand_over.py ADDRESS FOLDER`."""

import json
import sys

import pyspark.sql.functions as F
import ray
import ray.data
import ray.experimental
import ray.train
import ray.train.torch

from lib.ray_cluster import ray_cluster, raydp_spark
from lib.settings import load_settings

NUM_PARTITIONS = 16
ROW_CHARACTERS = 1_000_000  # one row each; Ray hands values below 100 kB to the driver itself


def count(config: dict) -> None:
    """Write how many bytes came to this worker."""
    rows = ray.train.get_dataset_shard("train").iter_batches(batch_size=1, batch_format="numpy")
    num_bytes = sum(len(text) for batch in rows for text in batch["text"])
    context = ray.train.get_context()
    with open(f"{config['folder']}/worker{context.get_world_rank()}.json", "w") as file:
        json.dump({"node": ray.get_runtime_context().get_node_id(), "bytes": num_bytes}, file)


def main(address: str, folder: str) -> None:
    overrides = [f"storage.root={folder}", "landing.path=unused", f"cluster.address={address}"]
    cluster = load_settings("molecules", "local", [*overrides, "cluster.num_spark_executors=2"]).cluster
    with ray_cluster(cluster), raydp_spark(cluster) as spark:
        text = F.expr(f"repeat(md5(cast(id as string)), {ROW_CHARACTERS // 32})").alias("text")
        data = ray.data.from_spark(spark.range(0, NUM_PARTITIONS, 1, NUM_PARTITIONS).select(text))
        blocks = [block for bundle in data.iter_internal_ref_bundles() for block in bundle.block_refs]
        ray.wait(blocks, num_returns=len(blocks), fetch_local=False)
        first_at = [about["node_ids"] for about in ray.experimental.get_object_locations(blocks).values()]
        ray.train.torch.TorchTrainer(
            count, train_loop_config={"folder": folder}, datasets={"train": data},
            scaling_config=ray.train.ScalingConfig(
                num_workers=2, resources_per_worker={"CPU": 1}, placement_strategy="SPREAD"
            ),
            run_config=ray.train.RunConfig(name="ray", storage_path=folder),
        ).fit()
        at_last = [about["node_ids"] for about in ray.experimental.get_object_locations(blocks).values()]
        print(json.dumps({
            "driver": ray.get_runtime_context().get_node_id(), "first_at": first_at, "at_last": at_last,
        }))


if __name__ == "__main__":
    main(*sys.argv[1:])
