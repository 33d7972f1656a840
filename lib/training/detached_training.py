"""Training on a Databricks cluster whose init script started Ray: in that Ray's Python, on a copy of the tables.

RayDP brings an open-source Spark, which reads neither Unity Catalog nor /Volumes. So Databricks' Spark copies what is
learned from to a folder that both can read, train_captioner runs there as on any machine, then its model comes back.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from lib.child_process import run_child
from lib.errors import TrainingFailedError
from lib.folder_copies import copy_whole
from lib.lake.delta_tables import Lake
from lib.lake.models import checkpoints_folder
from lib.sections.lake import StorageSettings
from lib.training.training_runs import LEARNED_FROM, LEARNED_FROM_IF_THERE, TrainingRun
from model.checkpoint import load_provenance
from model.whole_writes import written_whole

RAY_PYTHON = "/local_disk0/captionlake-ray/bin/python"  # made by conf/init/start_ray.sh
RAY_TOKEN = "/local_disk0/captionlake-ray/ray_token"  # made there too, unless RAY_AUTH_TOKEN is set
OF_DATABRICKS = ("DATABRICKS_", "PYSPARK_", "PYTHON", "SPARK_")  # variables that would lead to the cluster's own Spark


def train_detached(lake: Lake, run: TrainingRun, folder: str, arguments: Sequence[str]) -> None:
    """Train the run's model in `folder` with the job's own `arguments`; what it leaves is then where `run` says.

    Raises TrainingFailedError, having brought back what a next try can resume from.
    """
    storage = StorageSettings(root=folder, catalog=None, schema_name=None)
    # Databricks' Spark takes a bare path for one on DBFS.
    copy = Lake(lake.spark, storage.model_copy(update={"root": f"file:{folder}"}))
    for name in (*LEARNED_FROM, *filter(lake.has, LEARNED_FROM_IF_THERE)):
        copy.replace(name, lake.read(name))
    own_folder = Path(folder) / "training" / run.model_version
    if not own_folder.is_dir():  # else an earlier try here was killed, and came further than it could bring back
        copy_whole(run.folder, own_folder)
    overrides = [
        f"storage.root={folder}",
        "storage.catalog=null",
        "storage.schema_name=null",
        "cluster.address=auto",
        "tracking.is_on=false",
    ]
    command = [RAY_PYTHON, "-m", "jobs.train_captioner", *arguments, "--verbose"]
    command += [word for override in overrides for word in ("--set", override)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_DATABRICKS)}
    environment["RAY_AUTH_MODE"] = "token"
    if "RAY_AUTH_TOKEN" not in environment:
        environment["RAY_AUTH_TOKEN_PATH"] = RAY_TOKEN
    try:
        run_child("train_captioner", command, environment)
    finally:
        copy_whole(own_folder, run.folder)
    lake.insert_new("training_metrics", copy.read("training_metrics"))
    made = checkpoints_folder(storage) / run.model_version
    if not made.is_dir():
        raise TrainingFailedError(f"model {run.model_version}: training ended without leaving it in {made.parent}")
    provenance = load_provenance(made) | {"table_versions": run.table_versions}  # not those of the copies
    with written_whole(made / "provenance.json") as written:
        written.write_text(json.dumps(provenance, indent=2), encoding="utf-8")
    copy_whole(made, run.checkpoint)
