"""The runbook's commands, flags, settings, variables and jobs are those of the code."""

import re
from pathlib import Path

import pytest
import yaml

from lib.sql.views import read_views
from tests.contracts.bundle_files import Bundle, load_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def code() -> str:
    """What stands in fenced blocks and code spans."""
    text = (ROOT / "docs/runbook.md").read_text()
    fenced = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(fenced + re.findall(r"`([^`\n]+)`", text))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(ROOT)


def named(pattern: str, code: str) -> set[str]:
    found = set(re.findall(pattern, code))
    assert found, f"the runbook names nothing like {pattern}"
    return found


def test_make_commands_exist(code: str) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named(r"\bmake ([a-z][\w-]*)", code) <= set(targets)


def test_variables_are_declared(code: str, bundle: Bundle) -> None:
    assert named(r"--var (\w+)=", code) <= bundle.config["variables"].keys()


def test_targets_are_declared_or_to_be_made(code: str, bundle: Bundle) -> None:
    assert named(r"--target (\w+)", code) <= bundle.config["targets"].keys() | {"prod_NAME"}


def test_jobs_and_tasks_that_are_run_exist(code: str, bundle: Bundle) -> None:
    jobs = {key: job for _, kind, key, job in bundle.resources() if kind == "jobs"}
    assert named(r"bundle run (\w+)", code) <= jobs.keys()
    tasks = {task["task_key"] for task in jobs["pipeline"]["tasks"]}
    assert {task for names in named(r"--only ([\w,]+)", code) for task in names.split(",")} <= tasks


def test_settings_exist(code: str) -> None:
    layers = [yaml.safe_load((ROOT / "conf" / name).read_text()) for name in ("base.yaml", "environments/local.yaml")]
    settings = {f"{section}.{key}" for layer in layers for section, keys in layer.items() for key in keys}
    sections = "|".join({name.partition(".")[0] for name in settings})
    mentioned = named(rf"(?<![\w/])((?:{sections})\.\w+)", code)
    assert {name for name in mentioned if not name.endswith((".yaml", ".yml"))} <= settings


def test_flags_of_jobs_exist(code: str) -> None:
    commands = [line for line in code.splitlines() if "-m jobs." in line]
    sources = "".join(path.read_text() for path in [*(ROOT / "jobs").glob("*.py"), ROOT / "lib/job_entry.py"])
    flags = {flag for line in commands for flag in re.findall(r" (--[a-z]+)", line)}
    assert flags
    assert flags <= set(re.findall(r'"(--[a-z]+)"', sources))


def test_views_that_it_sends_people_to_exist(code: str) -> None:
    assert named(r"select \* from (\w+)", code) <= {view.name for view in read_views()}


def test_every_resource_that_can_send_a_message_is_explained(code: str, bundle: Bundle) -> None:
    senders = [
        resource.get("name") or resource["display_name"]
        for _, kind, _, resource in bundle.resources()
        if kind == "alerts" or "email_notifications" in resource
    ]
    assert len(senders) == 4
    assert [name for name in senders if name not in code] == []


def test_the_estimate_follows_from_the_measured_rates() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    results = (ROOT / "docs/results.md").read_text()
    rates = {"clean": (180, 2.5e6), "predict": (7, 2.5e6), "train, one epoch (90 % of the images)": (50, 2.25e6)}
    for step, (rate_on_two_cores, num_images) in rates.items():
        assert f"{rate_on_two_cores} images/s" in results
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {step} |"))
        assert f"= {num_images / (rate_on_two_cores / 2) / 3600:.1f} |" in row


def test_every_alert_of_prometheus_is_explained() -> None:
    (group,) = yaml.safe_load((ROOT / "conf/monitoring/rules.yaml").read_text())["groups"]
    rows = re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in group["rules"]] == [
        name for name in rows if name[0] == name[0].upper() and "Error" not in name
    ]
