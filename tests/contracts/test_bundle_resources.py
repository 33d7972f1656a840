"""What the bundle deploys: jobs, schema, volumes, grants and the alert, as databricks-bundles reads them."""

import re
import shlex
import sqlite3
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.alerts import Alert
from databricks.bundles.apps import App
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from lib.lake.schemas import TABLES
from lib.settings import load_settings
from lib.sql.views import read_views
from tests.contracts.bundle_files import load_bundle
from tests.contracts.bundle_values import LOADERS

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = {(kind, key): (file, resource) for file, kind, key, resource in load_bundle(ROOT).resources()}


def loaded(kind: str, key: str) -> Any:
    return LOADERS[kind].from_dict(RESOURCES[kind, key][1])


@pytest.mark.parametrize(("kind", "key"), RESOURCES, ids=" ".join)
def test_every_resource_stands_alone_in_a_file_named_by_its_key_and_kind(kind: str, key: str) -> None:
    file, _ = RESOURCES[kind, key]
    assert file.path.name == f"{key}.{kind.removesuffix('s')}.yml"
    ((_, resources),) = ((name, part) for name, part in file.content.items() if name in ("resources", "targets"))
    if file.content.get("targets"):
        ((target, content),) = resources.items()
        assert target in load_bundle(ROOT).config["targets"]
        resources = content["resources"]
    assert len(resources) == len(resources[kind]) == 1


def test_the_bundle_deploys_everything_that_the_jobs_use() -> None:
    assert set(RESOURCES) == {
        ("jobs", "pipeline"),
        ("jobs", "arrivals"),
        ("jobs", "training"),
        ("jobs", "maintenance"),
        ("schemas", "lake"),
        ("volumes", "landing"),
        ("volumes", "storage"),
        ("registered_models", "captioner"),
        ("experiments", "captioner"),
        ("dashboards", "captions"),
        ("alerts", "quality"),
        ("apps", "review"),
    }


@pytest.mark.parametrize("key", ["pipeline", "training", "maintenance"])
def test_a_job_never_overlaps_ends_in_time_and_tells_someone_when_it_fails(key: str) -> None:
    job: Job = loaded("jobs", key)
    assert (job.max_concurrent_runs, job.queue.enabled) == (1, True)
    assert job.email_notifications.on_failure.path == "var.alert_addresses"
    assert all(0 < task.timeout_seconds <= job.timeout_seconds and task.max_retries == 1 for task in job.tasks)
    assert all(task.retry_on_timeout for task in job.tasks)


@pytest.mark.parametrize("key", ["pipeline", "training"])
def test_a_run_that_takes_unusually_long_is_reported_before_it_is_ended(key: str) -> None:
    job: Job = loaded("jobs", key)
    (rule,) = job.health.rules
    assert (rule.metric.value, rule.op.value) == ("RUN_DURATION_SECONDS", "GREATER_THAN")
    assert rule.value < job.timeout_seconds
    assert job.email_notifications.on_duration_warning_threshold_exceeded.path == "var.alert_addresses"


def test_either_the_night_or_new_files_start_the_pipeline_as_two_variables_say() -> None:
    pipeline, arrivals = loaded("jobs", "pipeline"), loaded("jobs", "arrivals")
    assert pipeline.schedule.pause_status.path == "var.nightly_status"
    assert arrivals.trigger.pause_status.path == "var.arrivals_status"
    assert arrivals.trigger.file_arrival.url.endswith("/${resources.volumes.landing.name}/")
    assert [task.run_job_task.job_id.path for task in arrivals.tasks] == ["resources.jobs.pipeline.id"]
    variables = load_bundle(ROOT).config["variables"]
    assert (variables["nightly_status"]["default"], variables["arrivals_status"]["default"]) == ("UNPAUSED", "PAUSED")


def test_the_night_makes_a_model_only_if_there_is_none_and_the_training_job_whenever_data_changed() -> None:
    defaults = {parameter.name: parameter.default for parameter in loaded("jobs", "pipeline").parameters}
    assert defaults["train_when"] == "missing"
    for task in loaded("jobs", "training").tasks:
        assert not any("train_when" in parameter for parameter in task.python_wheel_task.parameters)
    assert yaml.safe_load((ROOT / "conf/base.yaml").read_text())["cluster"]["train_when"] == "changed"


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_on_databricks_a_new_model_waits_for_promotion(target: str) -> None:
    settings = yaml.safe_load((ROOT / f"conf/environments/{target}.yaml").read_text())
    assert settings["promotion"] == {"decided_by": "comparison"}


def test_one_variable_picks_the_route_of_training_and_its_cluster() -> None:
    job: Job = loaded("jobs", "training")
    clusters = {cluster.job_cluster_key: cluster.new_cluster for cluster in job.job_clusters}
    assert set(clusters) == {"databricks", "raydp"}
    for task in job.tasks:
        assert task.job_cluster_key.path == "var.ray_on"
        assert "cluster.ray_on=${var.ray_on}" in task.python_wheel_task.parameters
    assert clusters["databricks"].spark_conf["spark.databricks.pyspark.dataFrameChunk.enabled"] == "true"
    assert clusters["databricks"].autoscale is None
    (script,) = clusters["raydp"].init_scripts
    assert script.workspace.destination == "${workspace.file_path}/conf/init/start_ray.sh"
    assert all(cluster.data_security_mode.value == "DATA_SECURITY_MODE_DEDICATED" for cluster in clusters.values())


def test_training_is_the_pipeline_without_ingest_and_with_promotion() -> None:
    assert [task.task_key for task in loaded("jobs", "training").tasks] == [
        "build_vocabulary",
        "train_captioner",
        "promote_model",
        "predict_captions",
        "evaluate_captions",
    ]


def test_each_of_the_three_groups_may_do_its_work_and_analysts_change_nothing() -> None:
    schema: Schema = loaded("schemas", "lake")
    grants = {grant.principal.path: {right.value for right in grant.privileges} for grant in schema.grants}
    assert set(grants) == {"var.engineers_group", "var.run_as_principal", "var.analysts_group"}
    assert {"CREATE_TABLE", "MODIFY", "SELECT", "READ_VOLUME", "WRITE_VOLUME"} <= grants["var.run_as_principal"]
    assert {"MODIFY", "MANAGE"} <= grants["var.engineers_group"]
    assert grants["var.analysts_group"] == {"USE_SCHEMA", "SELECT"}
    storage: Volume = loaded("volumes", "storage")
    assert [(grant.principal.path, [right.value for right in grant.privileges]) for grant in storage.grants] == [
        ("var.analysts_group", ["READ_VOLUME"])
    ]


def test_training_records_its_models_where_the_bundle_makes_place_for_them() -> None:
    model: RegisteredModel = loaded("registered_models", "captioner")
    assert model.owner.path == "var.run_as_principal"  # who is not the owner adds no version
    for key in ("pipeline", "training"):
        (task,) = (task for task in loaded("jobs", key).tasks if task.task_key == "train_captioner")
        assert {
            "tracking.experiment_id=${resources.experiments.captioner.id}",
            "tracking.registered_model=${var.catalog}.${resources.schemas.lake.name}."
            "${resources.registered_models.captioner.name}",
        } < set(task.python_wheel_task.parameters)


def test_prod_keeps_schema_and_volumes_when_the_bundle_is_destroyed() -> None:
    kept = load_bundle(ROOT).config["targets"]["prod"]["resources"]
    assert (
        kept["schemas"]["lake"]
        == kept["volumes"]["landing"]
        == kept["volumes"]["storage"]
        == {"lifecycle": {"prevent_destroy": True}}
    )


def test_the_quality_alert_weighs_the_newest_days_captions() -> None:
    alert: Alert = loaded("alerts", "quality")
    query, num_positions = re.subn(r"\$\{var\.catalog\}\.\$\{resources\.schemas\.lake\.name\}\.", "", alert.query_text)
    assert num_positions == 2
    read = set(re.findall(r"\bfrom (\w+)", query))
    assert read <= {view.name for view in read_views()} | TABLES.keys()
    database = sqlite3.connect(":memory:")
    database.execute("create table quality_by_day (day text, num_captions integer, valid_share real)")
    rows = [("2026-01-01", 9, 0.0), ("2026-01-02", 30, 0.5), ("2026-01-02", 10, 0.9)]
    database.executemany("insert into quality_by_day values (?, ?, ?)", rows)
    answer = database.execute(query)
    assert [column[0] for column in answer.description] == [alert.evaluation.source.name]
    assert answer.fetchall() == [(pytest.approx(0.6),)]
    database.close()
    assert alert.evaluation.comparison_operator.value == "LESS_THAN"
    assert alert.evaluation.threshold.value.double_value.path == "var.min_valid_share"
    (subscriber,) = alert.evaluation.notification.subscriptions
    assert subscriber.user_email.path == "var.alert_addresses[0]"


def test_the_review_page_is_an_app_of_dev_that_starts_behind_databricks_own_sign_in() -> None:
    app: App = loaded("apps", "review")
    file, _ = RESOURCES["apps", "review"]
    assert set(file.content["targets"]) == {"dev"}  # with run_as of another than its deployer an app is refused
    assert "run_as" not in load_bundle(ROOT).config["targets"]["dev"]
    assert app.lifecycle.started is False
    assert (file.path.parent / app.source_code_path).resolve() == ROOT
    shell, flag, line = app.config.command
    assert (shell, flag) == ("bash", "-c")
    words = shlex.split(line)
    assert words[:4] == ["exec", "python", "-m", "jobs.serve_reviews"]
    given = [word.replace("$DATABRICKS_APP_PORT", "8000") for flag, word in pairwise(words) if flag == "--set"]
    settings = load_settings("molecules", "dev", [re.sub(r"\$\{[^}]*\}", "x", word) for word in given])
    assert settings.storage.root == "/Volumes/x/x/x"
    reviewing = settings.reviewing
    assert (reviewing.host, reviewing.port, reviewing.proxy_header) == ("0.0.0.0", 8000, "X-Forwarded-Email")
    permissions = {permission.group_name.path: permission.level.value for permission in app.permissions}
    assert permissions == {"var.engineers_group": "CAN_MANAGE", "var.analysts_group": "CAN_USE"}
    (storage,) = app.resources
    assert storage.uc_securable.permission.value == "WRITE_VOLUME"
    assert storage.uc_securable.securable_full_name.endswith("${resources.volumes.storage.name}")


def test_an_app_is_given_no_file_above_its_limit() -> None:
    excluded = load_bundle(ROOT).config["sync"]["exclude"]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    large = [name for name in tracked.split("\0") if name and (ROOT / name).stat().st_size > 10_000_000]
    assert [name for name in large if not any(name.startswith(one.removesuffix("**")) for one in excluded)] == []
