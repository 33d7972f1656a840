"""Trains the model that settings, data and starting weights name, on the Ray cluster that the settings choose."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lib.captions.reviewed_captions import why_nothing_is_learned
from lib.job_log import ON_DATABRICKS
from lib.lake.delta_tables import Lake
from lib.lake.models import IN_THE_PROJECT, has_current_model
from lib.lake.spark_session import open_spark
from lib.settings import Settings
from lib.training.detached_training import train_detached
from lib.training.distributed_training import train_on_ray
from lib.training.joined_cluster import check_folder_is_shared
from lib.training.model_registry import WriteModel, check_tracking, record_training
from lib.training.ray_cluster import check_cluster, ray_cluster, ray_on_spark, raydp_spark, route_of
from lib.training.training_runs import TrainingRun, finish_training, plan_training, training_alone

logger = logging.getLogger(__name__)


def train_model(settings: Settings, arguments: Sequence[str], write_model: WriteModel) -> None:
    """Train a model unless it is there already or the settings say that nothing is to be trained.

    `arguments` are those the job was started with, for a process that must start it again; `write_model` is that of
    record_training. Raises what plan_training, training_alone and the cluster's checks raise, and TrainingFailedError.
    """
    if why := _why_nothing_is_asked_for(settings):
        logger.info("nothing is trained: %s", why)
        return
    if settings.prediction.model_version != IN_THE_PROJECT:
        check_tracking(settings.tracking)
        check_cluster(settings.cluster)
    with ExitStack() as until_trained:
        with open_spark(settings.spark, "train_captioner") as spark:
            lake = Lake(spark, settings.storage)
            if why := why_nothing_is_learned(lake, settings.prediction.model_version, settings.captions):
                logger.info("nothing is trained: %s", why)
                return
            run = plan_training(lake, settings)
            until_trained.enter_context(training_alone(run))
            if run.is_trained:
                logger.info("model %s is up to date", run.model_version)
            else:
                logger.info("model %s, %d train images", run.model_version, run.data.num_train)
                _train_on_databricks(lake, run, settings, arguments)
            if run.is_trained:
                _finish(lake, run, settings, write_model)
                return
        with _lake_through_raydp(settings) as lake:
            train_on_ray(lake, run, settings)
            _finish(lake, run, settings, write_model)


def _why_nothing_is_asked_for(settings: Settings) -> str | None:
    if settings.cluster.train_when == "never":
        return "cluster.train_when is never"
    if settings.cluster.train_when == "missing" and has_current_model(settings.storage):
        return "there is a model, and cluster.train_when is missing"
    return None


def _train_on_databricks(lake: Lake, run: TrainingRun, settings: Settings, arguments: Sequence[str]) -> None:
    """Train on the Ray that a Databricks cluster has, where that is the way; else do nothing."""
    route = route_of(settings.cluster, ON_DATABRICKS)
    if route == "ray_on_spark":
        with ray_on_spark(settings.cluster):
            train_on_ray(lake, run, settings)
    elif route == "detached":
        train_detached(lake, run, settings.cluster.copy_folder, arguments)


@contextmanager
def _lake_through_raydp(settings: Settings) -> Iterator[Lake]:
    """The lake as RayDP's Spark sees it, which the Ray cluster of the settings runs."""
    with ray_cluster(settings.cluster):
        if settings.cluster.address is not None:
            check_folder_is_shared(Path(settings.storage.root).absolute())
        with raydp_spark(settings.cluster) as spark:
            yield Lake(spark, settings.storage)


def _finish(lake: Lake, run: TrainingRun, settings: Settings, write_model: WriteModel) -> None:
    finish_training(lake, run, settings.promotion.decided_by)
    record_training(lake, settings.tracking, run.checkpoint, write_model)
    logger.info("model %s is in %s", run.model_version, run.checkpoint)
