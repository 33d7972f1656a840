"""train_captioner: images_clean, captions and vocabulary -> a checkpoint directory and training_metrics."""

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process
from lib.settings import Settings

logger = logging.getLogger(__name__)


def run(settings: Settings, arguments: Sequence[str]) -> None:
    """Train the model that settings, data and starting weights name, unless it is there already.

    `arguments` are those the job was started with, for a process that must start it again.
    """
    with ExitStack() as until_trained:
        _train(settings, arguments, until_trained)


def _train(settings: Settings, arguments: Sequence[str], until_trained: ExitStack) -> None:
    from lib.captioning import registered_captioner
    from lib.captions.reviewed_captions import why_nothing_is_learned
    from lib.lake.delta_tables import Lake
    from lib.lake.models import IN_THE_PROJECT, has_current_model
    from lib.lake.spark_session import ON_DATABRICKS, open_spark
    from lib.training.detached_training import train_detached
    from lib.training.distributed_training import train_on_ray
    from lib.training.joined_cluster import check_folder_is_shared
    from lib.training.model_registry import check_tracking, record_training
    from lib.training.ray_cluster import check_cluster, ray_cluster, ray_on_spark, raydp_spark, route_of
    from lib.training.training_runs import finish_training, plan_training, training_alone

    cluster = settings.cluster
    if cluster.train_when == "never":
        logger.info("train_captioner: nothing is trained: cluster.train_when is never")
        return
    if cluster.train_when == "missing" and has_current_model(settings.storage):
        logger.info("train_captioner: nothing is trained: there is a model, and cluster.train_when is missing")
        return
    if settings.prediction.model_version != IN_THE_PROJECT:
        check_tracking(settings.tracking)
        check_cluster(cluster)
    with open_spark(settings.spark, "train_captioner") as spark:
        lake = Lake(spark, settings.storage)
        if why := why_nothing_is_learned(lake, settings.prediction.model_version, settings.captions):
            logger.info("train_captioner: nothing is trained: %s", why)
            return
        plan = plan_training(lake, settings)
        until_trained.enter_context(training_alone(plan))
        write_model = partial(registered_captioner.write_model, settings=settings.prediction)
        if plan.is_trained:
            logger.info("train_captioner: model %s is up to date", plan.model_version)
        else:
            logger.info("train_captioner: model %s, %d train images", plan.model_version, plan.data.num_train)
            route = route_of(cluster, ON_DATABRICKS)
            if route == "ray_on_spark":
                with ray_on_spark(cluster):
                    train_on_ray(lake, plan, settings)
            elif route == "detached":
                train_detached(lake, plan, cluster.copy_folder, arguments)
        if plan.is_trained:
            finish_training(lake, plan, settings.promotion.decided_by)
            record_training(lake, settings.tracking, plan.checkpoint, write_model)
            logger.info("train_captioner: model %s is in %s", plan.model_version, plan.checkpoint)
            return
    with ray_cluster(cluster):
        if cluster.address is not None:
            check_folder_is_shared(Path(settings.storage.root).absolute())
        with raydp_spark(cluster) as spark:
            lake = Lake(spark, settings.storage)
            train_on_ray(lake, plan, settings)
            finish_training(lake, plan, settings.promotion.decided_by)
            record_training(lake, settings.tracking, plan.checkpoint, write_model)
    logger.info("train_captioner: model %s is in %s", plan.model_version, plan.checkpoint)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task train_captioner."""
    start_process()
    given = sys.argv[1:] if argv is None else argv
    arguments = argument_parser("train_captioner", __doc__ or "").parse_args(given)
    exit_with_one_sentence(lambda: run(settings_from(arguments), given))


if __name__ == "__main__":
    main()
