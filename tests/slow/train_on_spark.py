"""Training by the route `databricks` on a Spark cluster of this machine: `python -m tests.slow.train_on_spark FOLDER`.

Only two things stand in for Databricks: the folder of Ray's temporary files, and the hand-over, which there is their
own ray.data.from_spark and here goes through the driver's memory. The rest is what runs there.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

import pyspark
import ray
import ray.data
from pyspark.sql import SparkSession

from lib import ray_cluster
from lib.delta_tables import Lake
from lib.distributed_training import train_on_ray
from lib.settings import Settings, load_settings
from lib.spark_session import delta_configuration, ensure_java
from lib.training_runs import finish_training, plan_training
from tests.ray.conftest import SMALL

SPARK_MASTER = "local-cluster[2,4,1024]"  # executors, cores of each, MB of each


def open_cluster() -> SparkSession:
    """Spark with executors in processes of their own; Ray on Spark takes no less."""
    ensure_java()
    os.environ |= {"SPARK_HOME": str(Path(pyspark.__file__).parent), "SPARK_SCALA_VERSION": "2.12"}
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(SPARK_MASTER).config("spark.driver.host", "localhost")
    for key, value in delta_configuration(2).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def fill(spark: SparkSession, settings: Settings, overrides: list[str]) -> None:
    """Every table that training reads."""
    words = [word for override in overrides for word in ("--set", override)]
    import_module("jobs.draw_molecules").main([*words, "--set", "drawing.num_drawings=40"])
    for job in ("ingest_images", "clean_images", "build_vocabulary"):
        import_module(f"jobs.{job}").run(spark, settings)


def main() -> None:
    """Fill a lake in the folder and train on it; print the nodes of Ray and the model."""
    folder = Path(sys.argv[1])
    overrides = [
        f"storage.root={folder / 'lake'}", f"landing.path={folder / 'landing'}", "cluster.ray_on=databricks", *SMALL,
    ]
    settings = load_settings("molecules", "local", overrides)
    spark = open_cluster()
    fill(spark, settings, overrides)
    lake = Lake(spark, settings.storage)
    plan = plan_training(lake, settings)
    ray_cluster.JobStartHook.get_default_temp_root_dir = lambda _: str(folder)  # type: ignore[method-assign]
    ray.data.from_spark = lambda frame: ray.data.from_pandas(frame.toPandas())
    with ray_cluster.ray_on_spark(settings.cluster):
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        print("cores of the nodes", sorted(nodes), flush=True)
        train_on_ray(lake, plan, settings)
    finish_training(lake, plan)
    print("trained", plan.is_trained, "rows", lake.read("training_metrics").count() > 0, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
