"""Container, manifests and monitoring name what there is: endpoints, ports, settings, files, metrics."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.serving.metrics import Metrics
from lib.serving.request_log import ENDPOINTS
from lib.settings import load_settings
from lib.sql.batch_metrics import METRICS as BATCH_METRICS

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "conf/kubernetes").glob("*.yaml")}
MONITORING = [ROOT / "conf/monitoring/rules.yaml", ROOT / "conf/monitoring/dashboard.json"]


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = MANIFESTS["deployment"]["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def instructions(name: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.removeprefix(f"{name} ") for line in text.splitlines() if line.startswith(f"{name} ")]


def test_probes_ask_endpoints_that_there_are_at_the_servers_port() -> None:
    probes = [container()[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert [probe["path"] for probe in probes] == ["/healthz", "/readyz", "/healthz"]
    assert {probe["path"] for probe in probes} <= ENDPOINTS
    settings = load_settings("molecules", "local").serving
    assert [port["containerPort"] for port in container()["ports"]] == [settings.port]
    assert instructions("EXPOSE") == [str(settings.port)]


def test_a_server_that_is_told_to_end_has_time_to_answer() -> None:
    settings = load_settings("molecules", "local").serving
    waits_s = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] > waits_s + settings.deadline_s


def test_the_container_starts_with_settings_that_there_are() -> None:
    words = json.loads(instructions("ENTRYPOINT")[0]) + container()["args"]
    overrides = [word for before, word in pairwise(words) if before == "--set"]
    settings = load_settings("molecules", "local", overrides)
    assert (settings.storage.root, settings.serving.host) == ("/data", "0.0.0.0")
    cores = container()["resources"]
    assert str(settings.serving.num_processes) == cores["limits"]["cpu"] == cores["requests"]["cpu"]
    assert pod()["securityContext"]["runAsUser"] == int(instructions("USER")[0]) != 0
    assert {mount["mountPath"] for mount in container()["volumeMounts"]} == {"/data", "/tmp"}


def test_the_container_copies_files_that_there_are_and_that_are_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_service_and_autoscaler_are_of_the_deployment() -> None:
    labels = MANIFESTS["deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["service"]["spec"]["selector"] == labels
    target = MANIFESTS["autoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", MANIFESTS["deployment"]["metadata"]["name"])
    assert MANIFESTS["service"]["spec"]["ports"][0]["targetPort"] == container()["ports"][0]["name"]


@pytest.mark.parametrize("path", MONITORING, ids=lambda path: path.name)
def test_rules_and_dashboard_ask_for_metrics_that_there_are(path: Path) -> None:
    exported = set(BATCH_METRICS)
    for family in Metrics().registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        exported |= {family.name + end for end in ends}
    text = yaml.safe_dump(yaml.safe_load(path.read_text()), width=10_000)
    asked = set(re.findall(r"\bcaptionlake_\w+", text))
    assert len(asked) >= 7
    assert asked <= exported
