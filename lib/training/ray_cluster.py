"""Ray and RayDP up and down: a context manager whose exit leaves no process behind. Ray, RayDP and JVM flags live here.

Knows nothing of captions or networks.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import ray
import ray.util.spark
import torch
from pyspark.sql import SparkSession
from ray.util.spark import databricks_hook
from ray.util.spark.start_hook_base import RayOnSparkStartHook

from lib.errors import RuntimeMissingError, SettingsError
from lib.job_log import ON_DATABRICKS
from lib.lake.java import ensure_java
from lib.lake.spark_session import delta_configuration, end_gateway
from lib.sections.training import ClusterSettings
from lib.training import worker_network
from lib.training.horovod_training import require_horovod
from lib.training.joined_cluster import check_cluster_answers, check_room

logger = logging.getLogger(__name__)

# RayDP's JVMs reach into the JDK, which a Java 17 allows only where it is told so, in each of three places.
_OPEN_PACKAGES = (
    "java.lang",
    "java.lang.invoke",
    "java.io",
    "java.net",
    "java.nio",
    "java.math",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
JVM_OPTIONS = " ".join(
    ["-XX:+IgnoreUnrecognizedVMOptions"] + [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPEN_PACKAGES]
)


def route_of(settings: ClusterSettings, on_databricks: bool) -> Literal["ray_on_spark", "detached", "raydp"]:
    """How training reaches its rows: Ray on the cluster's Spark, a Python of its own there, or RayDP's Spark on Ray."""
    if settings.ray_on == "databricks":
        return "ray_on_spark"
    return "detached" if on_databricks else "raydp"


def check_cluster(settings: ClusterSettings) -> None:
    """Raise, before anything starts, if what training needs is not there.

    RuntimeMissingError for Horovod and for the Ray cluster to join, SettingsError if this machine is too small for the
    Ray to be started on it.
    """
    if settings.train_with == "horovod":
        require_horovod()
    if route_of(settings, ON_DATABRICKS) != "raydp":  # a Python joins there that is not this one
        return
    if settings.address is not None:
        check_cluster_answers(settings.address)
        return
    num_cores = os.cpu_count() or 1
    if settings.num_workers * settings.threads_per_worker > num_cores:
        raise SettingsError(
            f"cluster.num_workers {settings.num_workers} x threads_per_worker {settings.threads_per_worker} are more "
            f"than the {num_cores} cores of this machine: name a larger Ray cluster in cluster.address, or take fewer"
        )
    _check_gpus(settings, torch.cuda.device_count())


def gpus_to_use(settings: ClusterSettings) -> int:
    """How many workers get a GPU of the Ray cluster that is up. Raises SettingsError if they should and cannot."""
    if settings.device == "cpu":
        return 0
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    _check_gpus(settings, num_gpus)
    if num_gpus < settings.num_workers:
        logger.warning(
            "cluster.device is gpu_if_there: %d of %d workers train on a GPU, %d on cores",
            num_gpus,
            settings.num_workers,
            settings.num_workers - num_gpus,
        )
    return min(num_gpus, settings.num_workers)


def _check_gpus(settings: ClusterSettings, num_gpus: int) -> None:
    if settings.device == "gpu" and num_gpus < settings.num_workers:
        raise SettingsError(
            f"cluster.device is gpu and cluster.num_workers {settings.num_workers}, but there "
            f"{'is 1 GPU' if num_gpus == 1 else f'are {num_gpus} GPUs'}: gpu_if_there would go on without"
        )


@contextmanager
def ray_cluster(settings: ClusterSettings) -> Iterator[None]:
    """Start Ray on this machine, or join the cluster at `address`; what was started here ends with the block.

    Raises RuntimeMissingError if no cluster answers at `address`, SettingsError if it has too few cores.
    """
    ensure_java()
    # Where Ray is joined, its workers find our packages by the wheel installed there; here by this process's path.
    environment: dict[str, Any] = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
    if settings.device == "gpu_if_there":  # workers find GPUs themselves; Ray would hide them from who reserved none
        environment["env_vars"]["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    if settings.address is not None:
        environment["worker_process_setup_hook"] = f"{worker_network.__name__}.name_own_interface"
    quiet = {"logging_level": logging.WARNING, "log_to_driver": False, "runtime_env": environment}
    # Every user of this machine may read Ray's own folder, so it lies in a folder that only this user may enter.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        if settings.address is None:
            # Logical slots, not cores: executors wait while workers train, and the hand-over needs one of its own.
            num_slots = settings.num_spark_cores + settings.num_workers + 2
            ray.init(address="local", num_cpus=num_slots, include_dashboard=False, _temp_dir=f"{folder}/r", **quiet)
            logger.info("started Ray on this machine with %d slots", num_slots)
        else:
            _join(settings.address, quiet)
        try:
            if settings.address is not None and settings.ray_on == "raydp":
                check_room(settings.num_workers * settings.cores_per_worker + settings.num_spark_cores)
            yield
        finally:
            ray.shutdown()


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Raises RuntimeMissingError if no cluster answers."""
    try:
        context = ray.init(address=address, **quiet)
    except ConnectionError as error:
        raise RuntimeMissingError(f"no Ray cluster answers at cluster.address {address!r}: {error}") from None
    nodes = [node for node in ray.nodes() if node["Alive"]]
    num_cores = ray.cluster_resources().get("CPU", 0)
    logger.info("joined the Ray cluster at %s: %d nodes, %d cores", address, len(nodes), num_cores)
    if context.dashboard_url:
        logger.info("Ray's dashboard: http://%s", context.dashboard_url)


@contextmanager
def raydp_spark(settings: ClusterSettings) -> Iterator[SparkSession]:
    """RayDP's Spark, with Delta, on the Ray cluster that `ray_cluster` started or joined."""
    import raydp  # not there on Databricks, where all jobs import this module for its settings
    import raydp.spark.dataset

    configuration = delta_configuration(max(2, settings.num_spark_cores)) | {
        "spark.driver.extraJavaOptions": JVM_OPTIONS,
        "spark.executor.extraJavaOptions": JVM_OPTIONS,
        "spark.ray.raydp_app_master.extraJavaOptions": JVM_OPTIONS,
        "spark.driver.host": ray.util.get_node_ip_address(),
        "spark.driver.bindAddress": ray.util.get_node_ip_address(),
    }
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # RayDP fetches each partition in a task that asks for no core; left alone, Ray runs them all beside the driver.
    raydp.spark.dataset._fetch_arrow_table_from_executor._default_options["scheduling_strategy"] = "SPREAD"
    try:
        yield raydp.init_spark(
            app_name="captionlake",
            num_executors=settings.num_spark_executors,
            executor_cores=settings.cores_per_spark_executor,
            executor_memory=settings.memory_per_spark_executor,
            placement_group_strategy="SPREAD",  # all machines read and hand over, not the first that has room
            configs=configuration,
        )
    finally:
        raydp.stop_spark()
        end_gateway()


class JobStartHook(RayOnSparkStartHook):  # type: ignore[misc]  # Ray comes without types
    """What Ray does on Databricks when it starts on Spark, less what only a notebook can do; workers get no token."""

    def __init__(self) -> None:
        super().__init__(is_global=False)

    def get_default_temp_root_dir(self) -> str:
        return "/local_disk0/tmp"


def nodes_on_spark(settings: ClusterSettings) -> dict[str, Any]:
    """What Ray on Spark is asked for: a node for each worker, with a core more than its worker, for the hand-over."""
    return {
        "max_worker_nodes": settings.num_workers,
        "num_cpus_worker_node": settings.threads_per_worker + 1,
        "num_gpus_worker_node": int(settings.device == "gpu"),  # Ray takes both numbers or neither
        "head_node_options": {"include_dashboard": False},  # it would listen on every interface
    }


@contextmanager
def ray_on_spark(settings: ClusterSettings) -> Iterator[None]:
    """Ray on the Spark of a Databricks cluster; it ends with the block. What is left of the machines stays Spark's."""
    os.environ["RAY_ON_SPARK_START_HOOK"] = f"{__name__}.{JobStartHook.__name__}"
    # Ray shows its warnings on Databricks in a notebook, and fails where there is none ("No IPython environment").
    databricks_hook.get_databricks_display_html_function = lambda: logger.warning
    address, _ = ray.util.spark.setup_ray_cluster(**nodes_on_spark(settings))
    try:
        with ray_cluster(settings.model_copy(update={"address": address})):
            yield
    finally:
        ray.util.spark.shutdown_ray_cluster()
