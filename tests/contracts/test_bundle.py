"""The bundle: the pipeline in the eyes of databricks-bundles, and every fault that our own check must find."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from databricks.bundles.jobs import Job

from tests.contracts import bundle_check
from tests.contracts.bundle_files import Bundle, load_bundle

ROOT = Path(__file__).resolve().parents[2]
JOB_FILE = "conf/resources/pipeline.job.yml"
TRAINING_FILE = "conf/resources/training.job.yml"
SCHEMA_FILE = "conf/resources/lake.schema.yml"
ALERT_FILE = "conf/resources/quality.alert.yml"
APP_FILE = "conf/resources/review.app.yml"
GIVEN_FILE = ".databricks/bundle/prod/variable-overrides.json"


@pytest.fixture(scope="module")
def job() -> Job:
    resources = yaml.safe_load((ROOT / JOB_FILE).read_text())["resources"]
    return Job.from_dict(resources["jobs"]["pipeline"])


def test_databricks_reads_the_tasks_and_what_each_waits_for(job: Job) -> None:
    graph = {task.task_key: [dependency.task_key for dependency in task.depends_on] for task in job.tasks}
    assert graph == {
        "ingest_images": [],
        "clean_images": ["ingest_images"],
        "extract_features": ["clean_images"],
        "build_vocabulary": ["ingest_images"],
        "train_captioner": ["extract_features", "build_vocabulary"],
        "predict_captions": ["train_captioner"],
        "evaluate_captions": ["predict_captions"],
        "create_views": ["evaluate_captions"],
    }


def test_databricks_reads_a_job_that_never_overlaps_on_one_dedicated_cluster(job: Job) -> None:
    (cluster,) = job.job_clusters
    assert (job.max_concurrent_runs, job.queue.enabled) == (1, True)
    assert cluster.new_cluster.spark_version.path == "var.runtime"
    assert cluster.new_cluster.data_security_mode.value == "DATA_SECURITY_MODE_DEDICATED"
    assert {task.job_cluster_key for task in job.tasks} == {cluster.job_cluster_key}
    assert all(task.timeout_seconds > 0 and task.max_retries == 1 for task in job.tasks)


def test_every_task_takes_the_arguments_of_every_job_from_the_jobs_parameters(job: Job) -> None:
    for task in job.tasks:
        parameters = task.python_wheel_task.parameters
        assert dict(zip(parameters[:6:2], parameters[1:6:2], strict=True)) == {
            "--dataset": "{{job.parameters.dataset}}",
            "--environment": "{{job.parameters.environment}}",
            "--conf": "${workspace.file_path}/conf",
        }
        assert set(parameters[6::2]) == {"--set"}
        assert {"landing.path={{job.parameters.landing_path}}", "storage.root={{job.parameters.storage_root}}"} < set(
            parameters[7::2]
        )


def test_each_target_runs_with_the_settings_of_its_own_name(job: Job) -> None:
    defaults = {parameter.name: parameter.default for parameter in job.parameters}
    assert defaults["environment"].path == "bundle.target"


def test_prod_is_deployed_once_and_runs_as_a_principal_that_is_no_person() -> None:
    targets = yaml.safe_load((ROOT / "databricks.yml").read_text())["targets"]
    assert {name: target["mode"] for name, target in targets.items()} == {"dev": "development", "prod": "production"}
    assert targets["dev"]["default"]
    assert set(targets["prod"]["run_as"]) == {"service_principal_name"}
    assert "current_user" not in targets["prod"]["workspace"]["root_path"]
    assert [permission["level"] for permission in targets["prod"]["permissions"]] == ["CAN_MANAGE"]


def test_the_bundle_is_sound() -> None:
    assert bundle_check.check_bundle(ROOT) == []


class Fault(NamedTuple):
    """One edit that breaks a sound bundle, the check that must see it, and what it must say."""

    check: Callable[[Bundle], Iterator[str]]
    file: str
    old: str
    new: str
    says: str


FAULTS = [
    Fault(
        bundle_check.includes_match_files,
        "databricks.yml",
        "include:\n",
        "include:\n  - conf/jobs/*.yml\n",
        "include 'conf/jobs/*.yml' matches no file",
    ),
    Fault(
        bundle_check.dependencies_exist,
        JOB_FILE,
        "[{task_key: train_captioner}]",
        "[{task_key: train_captoner}]",
        "task predict_captions: depends on 'train_captoner'; the job's tasks are ingest_images,",
    ),
    Fault(
        bundle_check.dependencies_have_an_order,
        JOB_FILE,
        "task_key: ingest_images\n",
        "task_key: ingest_images\n          depends_on: [{task_key: evaluate_captions}]\n",
        "tasks wait for each other: ",
    ),
    Fault(
        bundle_check.clusters_and_environments_exist,
        JOB_FILE,
        "  job_cluster_key: pipeline\n",
        "  job_cluster_key: piepline\n",
        "job_cluster_key 'piepline'; the job's job_clusters are pipeline",
    ),
    Fault(
        bundle_check.clusters_and_environments_exist,
        JOB_FILE,
        "timeout_seconds: 36000",
        "environment_key: ray",
        "task train_captioner: environment_key 'ray'; the job's environments are none",
    ),
    Fault(
        bundle_check.job_references_resolve,
        JOB_FILE,
        "{{job.parameters.storage_root}}",
        "{{job.parameters.root}}",
        "the job has no parameter 'root', only dataset,",
    ),
    Fault(
        bundle_check.job_references_resolve,
        JOB_FILE,
        "{{job.parameters.storage_root}}",
        "{{tasks.draw.values.x}}",
        "the job has no task 'draw', only ingest_images,",
    ),
    Fault(
        bundle_check.bundle_references_resolve,
        JOB_FILE,
        "${var.node_type}",
        "${var.node}",
        "${var.node} in '${var.node}' refers to nothing",
    ),
    Fault(
        bundle_check.bundle_references_resolve,
        JOB_FILE,
        "${var.num_nodes}",
        "${resources.jobs.nightly.id}",
        "${resources.jobs.nightly.id} in '${resources.jobs.nightly.id}' refers to nothing",
    ),
    Fault(
        bundle_check.bundle_references_resolve,
        JOB_FILE,
        "${bundle.target}",
        "${bundle.tagret}",
        "${bundle.tagret} in '${bundle.tagret}' refers to nothing",
    ),
    Fault(
        bundle_check.variables_are_described,
        "databricks.yml",
        "    description: Machines of a job cluster beside its driver.\n",
        "",
        "variable 'num_nodes' has no description",
    ),
    Fault(
        bundle_check.targets_are_sound,
        "databricks.yml",
        "mode: production",
        "mode: prodution",
        "target prod: mode 'prodution'; the modes are development, production",
    ),
    Fault(
        bundle_check.targets_are_sound,
        "databricks.yml",
        "    default: true\n",
        "",
        "one target must be the default, not none",
    ),
    Fault(
        bundle_check.targets_are_sound,
        "databricks.yml",
        "      num_nodes: 4",
        "      nodes: 4",
        "target prod: sets variable 'nodes', which is not declared",
    ),
    Fault(
        bundle_check.targets_are_sound,
        "databricks.yml",
        "  prod:",
        "  staging:",
        "target staging: there is no conf/environments/staging.yaml",
    ),
    Fault(
        bundle_check.entry_points_exist,
        "pyproject.toml",
        'clean_images = "jobs.clean_images:main"\n',
        "",
        "task clean_images: entry point 'clean_images'; pyproject.toml has create_views, sql_prompt,",
    ),
    Fault(
        bundle_check.entry_points_exist,
        "pyproject.toml",
        '"jobs.clean_images:main"',
        '"jobs.clean_images:start"',
        "entry point clean_images: there is no function jobs.clean_images:start",
    ),
    Fault(
        bundle_check.entry_points_exist,
        "pyproject.toml",
        '"jobs.clean_images:main"',
        '"jobs.cleaning:main"',
        "entry point clean_images: there is no function jobs.cleaning:main",
    ),
    Fault(
        bundle_check.entry_points_exist,
        JOB_FILE,
        "package_name: captionlake",
        "package_name: captions",
        "task ingest_images: package 'captions'; the wheel is 'captionlake'",
    ),
    Fault(
        bundle_check.tasks_are_named_by_their_entry_point,
        JOB_FILE,
        "entry_point: clean_images",
        "entry_point: ingest_images",
        "task clean_images: its entry point is 'ingest_images'",
    ),
    Fault(
        bundle_check.task_keys_are_unique,
        JOB_FILE,
        "task_key: build_vocabulary\n",
        "task_key: clean_images\n",
        "task clean_images: there are two tasks of this name",
    ),
    Fault(
        bundle_check.files_exist,
        JOB_FILE,
        "${workspace.file_path}/conf",
        "${workspace.file_path}/config",
        "${workspace.file_path}/config is not there",
    ),
    Fault(
        bundle_check.files_exist,
        JOB_FILE,
        "resources:\n",
        "resources:\n  dashboards: {captions: {file_path: captions.lvdash.json}}\n",
        "file_path: captions.lvdash.json is not there",
    ),
    Fault(
        bundle_check.files_exist,
        JOB_FILE,
        "      tasks:\n",
        "      tasks:\n        - {task_key: count, sql_task: {file: {path: ../../sql/count.sql}}}\n",
        "path: ../../sql/count.sql is not there",
    ),
    Fault(
        bundle_check.wheels_are_built,
        JOB_FILE,
        "../../dist/*.whl",
        "../dist/*.whl",
        "library ../dist/*.whl lies where no artifact of databricks.yml is built",
    ),
    Fault(
        bundle_check.wheels_are_built,
        JOB_FILE,
        "  libraries: [{whl: ../../dist/*.whl}]\n",
        "",
        "task ingest_images: runs a wheel that is not among its libraries",
    ),
    Fault(
        bundle_check.clusters_and_environments_exist,
        "databricks.yml",
        "    default: databricks\n",
        "    default: kuberay\n",
        "task build_vocabulary: job_cluster_key 'kuberay'; the job's job_clusters are databricks, raydp",
    ),
    Fault(
        bundle_check.files_exist,
        TRAINING_FILE,
        "conf/init/start_ray.sh",
        "conf/init/ray.sh",
        "destination: ${workspace.file_path}/conf/init/ray.sh is not there",
    ),
    Fault(
        bundle_check.targets_are_sound,
        "databricks.yml",
        "schemas: {lake: {lifecycle",
        "schemas: {lak: {lifecycle",
        "target prod: overrides resources.schemas.lak, which is not declared",
    ),
    Fault(
        bundle_check.resources_fit_their_types,
        SCHEMA_FILE,
        "      comment:",
        "      remark:",
        "lake: databricks-bundles refuses it: Unexpected field 'remark' for class Schema",
    ),
    Fault(bundle_check.resources_fit_their_types, SCHEMA_FILE, "SELECT", "SELCT", "'SELCT' is not a valid Privilege"),
    Fault(
        bundle_check.resources_fit_their_types,
        SCHEMA_FILE,
        "  schemas:",
        "  schema:",
        "lake: no check knows resources of kind 'schema', only alerts,",
    ),
    Fault(
        bundle_check.jobs_start_in_one_way,
        JOB_FILE,
        "      schedule:",
        "      trigger: {periodic: {interval: 1, unit: DAYS}}\n      schedule:",
        "job pipeline: has schedule and trigger; a job starts in one way",
    ),
    Fault(
        bundle_check.schedules_are_quartz,
        "databricks.yml",
        '"0 0 2 * * ?"',
        '"0 2 * * *"',
        "pipeline: schedule '0 2 * * *' has not the 6 or 7 fields of quartz",
    ),
    Fault(
        bundle_check.schedules_are_quartz,
        ALERT_FILE,
        '"0 0 9 * * ?"',
        '"0 0 24 * * ?"',
        "quality: schedule '0 0 24 * * ?' has '24' for its hours",
    ),
    Fault(
        bundle_check.schedules_are_quartz,
        JOB_FILE,
        "timezone_id: UTC",
        "timezone_id: Europe/Lodon",
        "pipeline: there is no time zone 'Europe/Lodon'",
    ),
    Fault(
        bundle_check.task_parameters_are_taken,
        JOB_FILE,
        "    --environment,",
        "    --enviroment,",
        "task ingest_images: the job takes no '--enviroment', only --conf, --dataset, --environment, --set",
    ),
    Fault(
        bundle_check.task_parameters_are_taken,
        TRAINING_FILE,
        "cluster.ray_on=",
        "cluster.rayon=",
        "task train_captioner: --set cluster.rayon=${var.ray_on}: there is no setting 'cluster.rayon'",
    ),
    Fault(
        bundle_check.task_parameters_are_taken,
        JOB_FILE,
        '    --dataset, "{{job.parameters.dataset}}",',
        '    "{{job.parameters.dataset}}",',
        "task ingest_images: its parameters are not pairs of a flag and a value",
    ),
    Fault(
        bundle_check.apps_run_a_job_with_settings_that_there_are,
        APP_FILE,
        "reviewing.host=",
        "reviewing.hosts=",
        "app review: --set reviewing.hosts=0.0.0.0: there is no setting 'reviewing.hosts'",
    ),
    Fault(
        bundle_check.apps_run_a_job_with_settings_that_there_are,
        APP_FILE,
        "jobs.serve_reviews",
        "jobs.serve_views",
        "app review: there is no module 'jobs.serve_views'",
    ),
    Fault(
        bundle_check.files_exist,
        APP_FILE,
        "source_code_path: ../..",
        "source_code_path: ../app",
        "source_code_path: ../app is not there",
    ),
    Fault(
        bundle_check.resources_fit_their_types, APP_FILE, "CAN_USE", "CAN_VIEW", "review: databricks-bundles refuses it"
    ),
    Fault(
        bundle_check.job_parameters_are_used_and_have_a_default,
        JOB_FILE,
        ', default: "${var.dataset}"',
        "",
        "job pipeline: parameter 'dataset' has no default",
    ),
    Fault(
        bundle_check.job_parameters_are_used_and_have_a_default,
        JOB_FILE,
        "      parameters:\n",
        "      parameters:\n        - {name: seed, default: 0}\n",
        "job pipeline: no task takes the parameter 'seed'",
    ),
    Fault(
        bundle_check.variables_are_not_empty,
        "databricks.yml",
        "    default: main\n",
        "    default: ''\n",
        "databricks.yml: variable 'catalog' is left empty",
    ),
    Fault(
        bundle_check.variables_are_not_empty,
        "databricks.yml",
        "    default: main\n",
        "    default:\n",
        "databricks.yml: variable 'catalog' is left empty",
    ),
    Fault(
        bundle_check.variables_are_not_empty,
        "databricks.yml",
        "      num_nodes: 4",
        "      num_nodes: ' '",
        "databricks.yml: target prod: variable 'num_nodes' is left empty",
    ),
    Fault(
        bundle_check.variables_are_not_empty,
        GIVEN_FILE,
        '["a@b.c"]',
        '["a@b.c", ""]',
        "variable-overrides.json: variable 'alert_addresses' is left empty",
    ),
    Fault(
        bundle_check.variables_have_their_type,
        GIVEN_FILE,
        '["a@b.c"]',
        '"a@b.c"',
        "variable 'alert_addresses' is 'a@b.c', which must be a list or a mapping",
    ),
    Fault(
        bundle_check.variables_have_their_type,
        "databricks.yml",
        "      num_nodes: 4",
        "      num_nodes: [4]",
        "databricks.yml: target prod: variable 'num_nodes' is [4], but is not declared with type: complex",
    ),
    Fault(
        bundle_check.given_variables_are_declared,
        GIVEN_FILE,
        "alert_addresses",
        "alert_address",
        "variable-overrides.json: gives variable 'alert_address', which is not declared",
    ),
    Fault(
        bundle_check.overrides_replace_no_list,
        "databricks.yml",
        "schemas: {lake: {lifecycle",
        "schemas: {lake: {grants: [{principal: a, privileges: [SELECT]}], lifecycle",
        "target prod: replaces the whole list resources.schemas.lake.grants; use a variable for what differs",
    ),
    Fault(
        bundle_check.overrides_replace_no_list,
        "databricks.yml",
        "    resources:  #",
        "    resources:\n      jobs: {pipeline: {tasks: [{task_key: clean_images, depends_on: []}]}}  #",
        "target prod: replaces the whole list resources.jobs.pipeline.tasks.clean_images.depends_on;",
    ),
    Fault(
        bundle_check.overrides_replace_no_list,
        "databricks.yml",
        "    workspace:\n",
        "    sync: {exclude: [bench/**]}\n    workspace:\n",
        "target prod: replaces the whole list sync.exclude;",
    ),
    Fault(
        bundle_check.no_secret_is_written_down,
        JOB_FILE,
        'PYTHONUNBUFFERED: "1"',
        "DATABRICKS_TOKEN: abc",
        "DATABRICKS_TOKEN looks like a secret: keep it in a secret scope",
    ),
    Fault(
        bundle_check.no_secret_is_written_down,
        JOB_FILE,
        "{name: train_when, default: missing}",
        "{name: train_when, default: dapi0123456789abcdef}",
        "default looks like a secret",
    ),
    Fault(
        bundle_check.no_secret_is_written_down,
        JOB_FILE,
        "{name: train_when, default: missing}",
        "{name: train_when, default: 's3://name:abc@images'}",
        "default looks like a secret",
    ),
    Fault(
        bundle_check.no_secret_is_written_down,
        "conf/environments/local.yaml",
        "path: lake/landing",
        "path: s3://images?key=abc",
        "conf/environments/local.yaml: path looks like a secret",
    ),
]


@pytest.fixture
def copy_of_bundle(tmp_path: Path) -> Path:
    for name in ("databricks.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("conf", "jobs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "lib").mkdir()
    shutil.copy(ROOT / "lib" / "job_entry.py", tmp_path / "lib")
    (tmp_path / GIVEN_FILE).parent.mkdir(parents=True)
    (tmp_path / GIVEN_FILE).write_text('{"alert_addresses": ["a@b.c"]}')
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.check.__name__}: {fault.says}")
def test_the_check_finds(fault: Fault, copy_of_bundle: Path) -> None:
    assert list(fault.check(load_bundle(copy_of_bundle))) == []
    file = copy_of_bundle / fault.file
    assert fault.old in file.read_text()
    file.write_text(file.read_text().replace(fault.old, fault.new))

    found = list(fault.check(load_bundle(copy_of_bundle)))

    assert any(fault.says in message for message in found), found
    assert all(re.match(r"\S+\.(ya?ml|toml|json): ", message) for message in found)
    assert set(found) <= set(bundle_check.check_bundle(copy_of_bundle))


def test_every_check_has_a_fault_to_find() -> None:
    assert {fault.check for fault in FAULTS} == set(bundle_check.CHECKS)


def test_a_target_may_change_one_field_of_a_task(copy_of_bundle: Path) -> None:
    file = copy_of_bundle / "databricks.yml"
    more = "    resources:\n      jobs: {pipeline: {tasks: [{task_key: clean_images, max_retries: 3}]}}  #"
    file.write_text(file.read_text().replace("    resources:  #", more))
    assert list(bundle_check.overrides_replace_no_list(load_bundle(copy_of_bundle))) == []


def test_a_secret_scope_is_where_secrets_may_stand(copy_of_bundle: Path) -> None:
    file = copy_of_bundle / JOB_FILE
    file.write_text(file.read_text().replace('PYTHONUNBUFFERED: "1"', "API_KEY: '{{secrets/captionlake/api_key}}'"))
    assert list(bundle_check.no_secret_is_written_down(load_bundle(copy_of_bundle))) == []


def test_a_task_inside_a_for_each_task_is_checked_too(copy_of_bundle: Path) -> None:
    (copy_of_bundle / "conf/resources/shards.job.yml").write_text("""
resources:
  jobs:
    shards:
      tasks:
        - task_key: predict
          for_each_task:
            inputs: '["a", "b"]'
            task: {task_key: shard, job_cluster_key: elsewhere}
""")
    (found,) = bundle_check.clusters_and_environments_exist(load_bundle(copy_of_bundle))
    assert found.startswith("conf/resources/shards.job.yml: job shards, task predict, its inner task: job_cluster_key")


def test_a_bundle_that_is_not_yaml_is_one_fault(copy_of_bundle: Path) -> None:
    (copy_of_bundle / "databricks.yml").write_text("bundle: {")
    (found,) = bundle_check.check_bundle(copy_of_bundle)
    assert found.startswith("the bundle cannot be read: ")


def test_the_command_says_what_it_checked(capsys: pytest.CaptureFixture[str]) -> None:
    bundle_check.main()
    sound, dev, prod = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"the bundle is sound: \d+ files, \d+ tasks, \d+ variables and 2 targets passed \d+ checks", sound
    )
    assert dev == "dev asks at deployment for warehouse_id"
    assert prod == "prod asks at deployment for alert_addresses, run_as_principal, warehouse_id"


def test_the_command_exits_with_1_on_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle_check, "check_bundle", lambda: ["databricks.yml: a fault"])
    with pytest.raises(SystemExit) as stopped:
        bundle_check.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "databricks.yml: a fault\n"
