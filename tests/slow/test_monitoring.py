"""conf/monitoring/ in a real Prometheus that scrapes a real server: `pytest -m slow tests/slow/test_monitoring.py`.

Left out by default: it needs the programs prometheus and promtool (Debian's package prometheus).
"""

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from lib.serving.metrics import Metrics
from lib.sql.batch_metrics import METRICS, as_text
from tests.known_molecules import ASPIRIN
from tests.unit.serving.neighbour_lake import STRIPES, fill, photograph
from tests.unit.serving.served import ROOT, Server, drawing

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None or PROMTOOL is None, reason="needs prometheus and promtool"),
]
RULES = ROOT / "conf/monitoring/rules.yaml"
ALERT_RULES = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule["expr"] for rule in ALERT_RULES}
(UNSURE,) = (rule for rule in ALERT_RULES if rule["alert"] == "CaptionsAreUnsure")
DASHBOARD = json.loads((ROOT / "conf/monitoring/dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
FIRING = {  # by alert: series, and the values by minute at which it fires within half an hour
    "CaptionServerIsGone": {'captionlake_model{dataset="molecules"}': "1x5 stale"},
    "CaptionServerFails": {
        'captionlake_requests_total{endpoint="/caption",status="200"}': "0+9x30",
        'captionlake_requests_total{endpoint="/caption",status="503"}': "0+1x30",
    },
    "CaptionServerRefuses": {'captionlake_requests_total{endpoint="/caption",status="429"}': "0+1x30"},
    "CaptionServerIsSlow": {
        'captionlake_request_seconds_bucket{endpoint="/caption",le="30.0"}': "0+9x30",
        'captionlake_request_seconds_bucket{endpoint="/caption",le="60.0"}': "0+10x30",
        'captionlake_request_seconds_bucket{endpoint="/caption",le="+Inf"}': "0+10x30",
    },
    "CaptionProcessesAreLost": {"captionlake_process_restarts_total": "0x20 4x10"},
    "SecondCaptionerFails": {
        'captionlake_second_captions_total{dataset="photos",outcome="captioned"}': "0+1x30",
        'captionlake_second_captions_total{dataset="photos",outcome="late"}': "0+2x30",
    },
    "CaptionModelIsRefused": {'captionlake_model_changes_total{outcome="refused"}': "AT_START 1x20"},
    "ConfidencesHaveDrifted": {'captionlake_confidence_psi{model_version="m1"}': "0.3x90"},
    "BatchIsLate": {"captionlake_batch_time_seconds": "-129601x90"},  # time begins at 0
}
MODELS = (
    "serving.models={molecules: pretrained, photos: pretrained}",
    "serving.second_captioners={photos: nearest_neighbours}",
)
WITHIN_S = 240


class Prometheus:
    """A Prometheus on loopback that scrapes a server, and the batch job's figures beside it, each second."""

    def __init__(self, folder: Path, server: Server, batch: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "captionlake", "static_configs": [{"targets": [urlsplit(server.url).netloc, batch]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = [
            str(PROMETHEUS),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={urlsplit(self.url).netloc}",
        ]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer. Raises AssertionError with Prometheus' own words if it is none."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer["error"]
        return answer["data"]

    def values(self, query: str) -> list[float]:
        return [float(series["value"][1]) for series in self.ask("query", query=query)["result"]]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


def eventually(is_so: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    fill(root / "lake")  # of the neighbours
    server = Server(root, "serving.num_processes=1", "serving.batch_size=2", *MODELS)
    server.wait_until_it_listens()
    server.wait_until_ready()
    yield server
    server.kill()


class BatchFigures(BaseHTTPRequestHandler):
    """The file that evaluate_captions writes, as node exporter shows it."""

    def do_GET(self) -> None:
        model = {"model_version": "m1"}
        labels = {
            "captionlake_rows": {"table": "captions"},
            "captionlake_rejected": {"stage": "ingest", "reason": "not_an_image"},
            "captionlake_exact_match": model | {"split": "test"},
            "captionlake_mean_edit_distance": model | {"split": "test"},
            "captionlake_cider": model | {"split": "test"},
            "captionlake_confidence_psi": model,
            "captionlake_batch_time_seconds": {},
        }
        values = dict.fromkeys(METRICS, 0.1) | {"captionlake_batch_time_seconds": time.time()}
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("".join(as_text(name, [(labels[name], values[name])]) for name in METRICS).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def batch_figures() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BatchFigures) as served:
        Thread(target=served.serve_forever).start()
        yield f"127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture(scope="module")
def prometheus(server: Server, batch_figures: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen two requests: rates are told of what comes after the first look."""
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), server, batch_figures)
    try:
        for _ in range(2):
            images = [("images", ("a.png", drawing(ASPIRIN))), ("images", ("b.png", b"no image"))]
            photographs = [("images", ("c.png", photograph(*STRIPES, seed=1)))]
            for dataset, files in (("molecules", images), ("photos", photographs)):
                url = f"{server.url}/caption?dataset={dataset}"
                assert httpx.post(url, files=files, timeout=WITHIN_S).status_code == 200
            seen = f"sum(captionlake_requests_total) >= {server.metric('captionlake_requests_total')}"
            eventually(lambda seen=seen: _answers(prometheus) and bool(prometheus.values(seen)), seen)
        yield prometheus
    finally:
        prometheus.end()


def _answers(prometheus: Prometheus) -> bool:
    try:
        return httpx.get(f"{prometheus.url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_promtool_takes_the_rules() -> None:
    checked = subprocess.run([str(PROMTOOL), "check", "rules", RULES], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def check_rules(folder: Path, interval: str, series: list[dict[str, str]], checks: list[dict[str, Any]]) -> None:
    """Let promtool compare what fires on the series at some times with what should."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": interval,
        "tests": [{"interval": interval, "input_series": series, "alert_rule_test": checks}],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    checked = subprocess.run([str(PROMTOOL), "test", "rules", folder / "test.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_captions_are_unsure_where_confidence_falls_below_its_own_past(tmp_path: Path) -> None:
    steady, falling = "0+35x720", "0+90x576 51840+60x144"  # summed confidence of 100 images every ten minutes, 5 days
    series = [
        {"series": f'captionlake_confidence_{name}{{dataset="{dataset}"}}', "values": values}
        for dataset, sums in (("photos", steady), ("molecules", falling))
        for name, values in (("sum", sums), ("count", "0+100x720"))
    ]
    fires = [{"exp_labels": {"severity": "ticket", "dataset": "molecules"}, "exp_annotations": UNSURE["annotations"]}]
    checks = [
        {"eval_time": when, "alertname": UNSURE["alert"], "exp_alerts": alerts}
        for when, alerts in (("95h", []), ("100h", fires))
    ]
    check_rules(tmp_path, "10m", series, checks)


@pytest.mark.parametrize("rule", [rule for rule in ALERT_RULES if rule != UNSURE], ids=lambda rule: rule["alert"])
def test_an_alert_fires(rule: dict[str, Any], tmp_path: Path) -> None:
    shown = Metrics().as_text().decode()
    series, labels = [], {}
    for name, values in FIRING[rule["alert"]].items():
        begins = "0x10" if f"{name} 0.0" in shown else "_x10"
        series.append({"series": name, "values": values.replace("AT_START", begins)})
        kept = "dataset|model_version" if rule["alert"] in ("SecondCaptionerFails", "ConfidencesHaveDrifted") else "$^"
        labels |= dict(re.findall(rf'({kept})="(\w+)"', name))
    fires = {"exp_labels": rule["labels"] | labels, "exp_annotations": rule["annotations"]}
    when = "75m" if rule.get("for") == "1h" else "22m"
    check_rules(tmp_path, "1m", series, [{"eval_time": when, "alertname": rule["alert"], "exp_alerts": [fires]}])


def test_promtool_takes_the_batch_jobs_metrics() -> None:
    text = "".join(as_text(name, [({"reason": 'a "quoted" \\ one\n'}, 0.5), ({}, 2)]) for name in METRICS)
    checked = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_has_values_under_load(prometheus: Prometheus, query: str) -> None:
    values = prometheus.values(query)
    assert values
    assert any(map(math.isfinite, values)), values


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_evaluated_and_does_not_fire_on_a_healthy_server(prometheus: Prometheus, alert: str) -> None:
    prometheus.values(ALERTS[alert])

    def rule() -> Any:
        (group,) = prometheus.ask("rules")["groups"]
        return next(rule for rule in group["rules"] if rule["name"] == alert)

    eventually(lambda: rule()["health"] != "unknown", alert)
    assert (rule()["health"], rule()["state"]) == ("ok", "inactive"), rule().get("lastError")


def test_every_metric_that_is_asked_for_is_one_of_the_servers_or_the_batch_jobs(server: Server) -> None:
    shown = set(re.findall(r"^# TYPE (\w+) ", httpx.get(f"{server.url}/metrics").text, re.MULTILINE))
    shown |= METRICS.keys()
    asked = set(re.findall(r"captionlake_\w+", " ".join([*QUERIES, *ALERTS.values()])))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in asked} <= shown
