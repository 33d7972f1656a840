"""train_captioner: images_clean, captions and vocabulary -> a checkpoint directory and training_metrics."""

import logging
from collections.abc import Sequence

from lib.delta_tables import Lake
from lib.distributed_training import train_on_ray
from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process
from lib.ray_cluster import ray_cluster, raydp_spark
from lib.settings import Settings
from lib.spark_session import open_spark
from lib.training_runs import finish_training, plan_training

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Train the model that settings, data and starting weights name, unless it is there already."""
    with open_spark(settings.spark, "train_captioner") as spark:
        lake = Lake(spark, settings.storage)
        plan = plan_training(lake, settings)
        if plan.is_trained:
            finish_training(lake, plan)
            logger.info("train_captioner: model %s is up to date", plan.model_version)
            return
    logger.info("train_captioner: model %s, %d train pictures", plan.model_version, plan.data.num_train)
    with ray_cluster(settings.cluster), raydp_spark(settings.cluster) as spark:
        lake = Lake(spark, settings.storage)
        train_on_ray(lake, plan, settings)
        finish_training(lake, plan)
    logger.info("train_captioner: model %s is in %s", plan.model_version, plan.checkpoint)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task train_captioner."""
    start_process()
    arguments = argument_parser("train_captioner", __doc__ or "").parse_args(argv)
    exit_with_one_sentence(lambda: run(settings_from(arguments)))


if __name__ == "__main__":
    main()
