"""The dashboard's files: what Databricks' loader takes, and that every widget shows fields that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.dashboards import Dashboard

from lib.sql.views import read_views

ROOT = Path(__file__).resolve().parents[2]
RESOURCE = ROOT / "conf/resources/captions.dashboard.yml"
GRID_WIDTH = 6


@pytest.fixture(scope="module")
def resource() -> dict[str, Any]:
    return yaml.safe_load(RESOURCE.read_text())["resources"]["dashboards"]["captions"]


@pytest.fixture(scope="module")
def content(resource: dict[str, Any]) -> dict[str, Any]:
    return json.loads((RESOURCE.parent / resource["file_path"]).read_text())


@pytest.fixture(scope="module")
def widgets(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["widget"] for page in content["pages"] for entry in page["layout"]]


def named_fields(encoding: Any) -> Iterator[str]:
    """Every fieldName of a widget's encodings, however deep."""
    if isinstance(encoding, dict):
        if "fieldName" in encoding:
            yield encoding["fieldName"]
        for inner in encoding.values():
            yield from named_fields(inner)
    elif isinstance(encoding, list):
        for inner in encoding:
            yield from named_fields(inner)


def test_databricks_reads_the_dashboard_and_shows_it_with_the_readers_own_rights(resource: dict[str, Any]) -> None:
    dashboard = Dashboard.from_dict(resource)
    assert dashboard.embed_credentials is False  # a bundle with run_as may not embed them
    assert dashboard.dataset_catalog.path == "var.catalog"
    assert dashboard.dataset_schema.path == "resources.schemas.lake.name"
    assert [permission.level.value for permission in dashboard.permissions] == ["CAN_READ"]


def test_every_query_reads_known_views_by_bare_names(content: dict[str, Any]) -> None:
    known = {view.name for view in read_views()} | {"images_clean"}
    for dataset in content["datasets"]:
        read = re.findall(r"\b(?:from|join)\s+([\w.`]+)", "".join(dataset["queryLines"]))
        assert set(read) <= known, dataset["name"]
        assert read, dataset["name"]


def test_every_dataset_is_shown_and_every_widget_has_its_dataset(
    content: dict[str, Any], widgets: list[dict[str, Any]]
) -> None:
    used = {query["query"]["datasetName"] for widget in widgets for query in widget.get("queries", ())}
    assert used == {dataset["name"] for dataset in content["datasets"]}


def test_every_field_that_a_widget_shows_is_one_that_it_asks_for(widgets: list[dict[str, Any]]) -> None:
    for widget in widgets:
        if "queries" in widget:
            asked = {field["name"] for query in widget["queries"] for field in query["query"]["fields"]}
            assert set(named_fields(widget["spec"]["encodings"])) == asked, widget["name"]


def test_every_field_is_computed_from_columns_of_its_dataset(
    content: dict[str, Any], widgets: list[dict[str, Any]]
) -> None:
    queries = {dataset["name"]: "".join(dataset["queryLines"]) for dataset in content["datasets"]}
    for widget in widgets:
        for query in (entry["query"] for entry in widget.get("queries", ())):
            words = set(re.findall(r"\w+", queries[query["datasetName"]]))
            columns = {name for field in query["fields"] for name in re.findall(r"`(\w+)`", field["expression"])}
            assert columns <= words, widget["name"]


def test_filters_point_at_their_own_queries(widgets: list[dict[str, Any]]) -> None:
    filters = [widget for widget in widgets if widget.get("spec", {}).get("widgetType", "").startswith("filter")]
    assert len(filters) == 1
    for widget in filters:
        named = [field["queryName"] for field in widget["spec"]["encodings"]["fields"]]
        assert named == [query["name"] for query in widget["queries"]]


def test_names_are_unique_and_widgets_do_not_overlap(content: dict[str, Any], widgets: list[dict[str, Any]]) -> None:
    names = [widget["name"] for widget in widgets]
    assert len(names) == len(set(names))
    for page in content["pages"]:
        taken: set[tuple[int, int]] = set()
        for position in (entry["position"] for entry in page["layout"]):
            columns = range(position["x"], position["x"] + position["width"])
            cells = {(x, y) for x in columns for y in range(position["y"], position["y"] + position["height"])}
            assert columns.stop <= GRID_WIDTH
            assert not cells & taken
            taken |= cells
