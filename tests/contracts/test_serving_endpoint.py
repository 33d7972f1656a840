"""The bundle of the Databricks endpoint, as databricks-bundles reads it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.model_serving_endpoints import ModelServingEndpoint

from tests.contracts.bundle_files import strings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "conf/serving_endpoint/databricks.yml").read_text())
    return config


def test_the_endpoint_costs_nothing_while_nobody_asks_and_says_who_may(bundle: dict[str, Any]) -> None:
    endpoint = ModelServingEndpoint.from_dict(bundle["resources"]["model_serving_endpoints"]["captioner"])
    assert endpoint.config is not None
    (served,) = endpoint.config.served_entities
    (route,) = endpoint.config.traffic_config.routes  # type: ignore[union-attr]
    assert served.scale_to_zero_enabled is True
    assert (route.served_model_name, route.traffic_percentage) == (served.name, 100)
    assert {one.level.value for one in endpoint.permissions} == {"CAN_MANAGE", "CAN_QUERY"}  # type: ignore[union-attr]


def test_every_variable_is_described_and_used(bundle: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{var\.(\w+)\}", " ".join(strings(bundle["resources"]))))
    assert used == bundle["variables"].keys()
    assert all(one["description"].endswith((".", "64.")) for one in bundle["variables"].values())
    assert [name for name, one in bundle["variables"].items() if "default" not in one] == ["model_version"]


def test_it_serves_the_model_that_the_other_bundle_registers(bundle: dict[str, Any]) -> None:
    main = yaml.safe_load((ROOT / "databricks.yml").read_text())["variables"]
    registered = yaml.safe_load((ROOT / "conf/resources/captioner.registered_model.yml").read_text())
    name = registered["resources"]["registered_models"]["captioner"]["name"]
    expected = f"{main['catalog']['default']}.{main['schema']['default']}.{name}"
    assert bundle["variables"]["model"]["default"] == expected
