"""Models that a real MLflow registry names."""

import shutil
import socket
from pathlib import Path
from typing import Any

import mlflow
import pytest

from lib.captioning.captioner import Captioner
from lib.errors import MissingInputError, RuntimeMissingError
from lib.lake.delta_tables import Lake
from lib.lake.models import make_current, model_in_use, resolve_model
from lib.lake.registered_models import DATABASE
from lib.sections.lake import StorageSettings
from lib.serving.service import models_to_serve
from lib.settings import Settings, load_settings
from lib.training.model_registry import EXPERIMENT, follow_models
from tests.known_molecules import ASPIRIN
from tests.slow.recorded import NAME, record, trained
from tests.unit.serving.served import QUICK, drawing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
CHAMPION = f"models:/{NAME}@champion"


@pytest.fixture
def elsewhere(tmp_path: Path) -> StorageSettings:
    """A storage that no model was trained in."""
    return StorageSettings(root=str(tmp_path / "elsewhere"), catalog=None, schema_name=None)


@pytest.fixture
def registered(lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of model m1, version 1 and champion of a registry that every storage asks."""
    checkpoint = trained(lake, settings, "m1")
    record(lake, checkpoint, settings)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path(lake.storage.root) / DATABASE}")
    return checkpoint


@pytest.mark.parametrize("name", [CHAMPION, f"models:/{NAME}/1"])
def test_a_registered_model_is_fetched_under_its_own_version_once(
    registered: Path, elsewhere: StorageSettings, name: str
) -> None:
    model = resolve_model(elsewhere, name, "molecules")
    assert model == ("m1", Path(elsewhere.root) / "checkpoints" / "m1")
    ours, fetched = ({file.name: file.read_bytes() for file in one.iterdir()} for one in (registered, model.directory))
    assert fetched == ours
    shutil.rmtree(registered.parents[1] / "mlflow")  # what the registry has to fetch
    assert resolve_model(elsewhere, name, "molecules") == resolve_model(elsewhere, "m1", "molecules") == model


def test_where_the_model_was_trained_nothing_is_fetched(registered: Path, lake: Lake) -> None:
    shutil.rmtree(registered.parents[1] / "mlflow")
    assert model_in_use(lake, CHAMPION, "molecules").directory == registered


@pytest.mark.usefixtures("registered")
def test_a_captioner_in_python_takes_a_registered_model(elsewhere: StorageSettings) -> None:
    captioner = Captioner(CHAMPION, overrides=[*QUICK, f"storage.root={elsewhere.root}"])
    assert [image.caption for image in captioner.caption([drawing(ASPIRIN)])] == [ASPIRIN]


@pytest.mark.usefixtures("registered")
def test_the_server_follows_the_alias(elsewhere: StorageSettings, lake: Lake, settings: Settings) -> None:
    served = load_settings(
        "molecules", "local", [f"storage.root={elsewhere.root}", f"serving.models={{molecules: '{CHAMPION}'}}"]
    )
    assert models_to_serve(served)["molecules"].version == "m1"
    record(lake, trained(lake, settings, "m2"), settings)
    assert models_to_serve(served)["molecules"].version == "m2"
    make_current(lake.storage, "m1")  # a roll-back
    follow_models(lake.storage, settings.tracking)
    assert models_to_serve(served)["molecules"].version == "m1"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (f"models:/{NAME}@new", "MLflow has no models:/captioner@new (Registered model alias new not found): see"),
        (f"models:/{NAME}/9", "MLflow has no models:/captioner/9 (Model Version (name=captioner, version=9) not found"),
        ("models:/other@champion", "MLflow has no models:/other@champion ("),
    ],
)
@pytest.mark.usefixtures("registered")
def test_what_is_not_registered_is_a_sentence(elsewhere: StorageSettings, name: str, sentence: str) -> None:
    with pytest.raises(MissingInputError) as refused:
        resolve_model(elsewhere, name, "molecules")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("tags", [{}, {"model_version": "../../m1"}, {"model_version": "m7"}])
@pytest.mark.usefixtures("registered")
def test_a_model_that_is_not_ours_is_refused(elsewhere: StorageSettings, tmp_path: Path, tags: dict[str, Any]) -> None:
    (tmp_path / "weights").write_text("of something else")
    experiment = mlflow.MlflowClient().get_experiment_by_name(EXPERIMENT)
    with mlflow.start_run(experiment_id=experiment.experiment_id, tags=tags):
        logged = mlflow.pyfunc.log_model("other", loader_module="os", data_path=str(tmp_path / "weights"))
    mlflow.register_model(logged.model_uri, "other")
    with pytest.raises(MissingInputError, match="version 1 of other in MLflow is not a captioner that train_captioner"):
        resolve_model(elsewhere, "models:/other/1", "molecules")
    assert not list(Path(elsewhere.root).glob("checkpoints/*"))


@pytest.mark.usefixtures("settings")
def test_a_registry_that_is_down_is_a_sentence(elsewhere: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody_listens.getsockname()[1]}")
        with pytest.raises(RuntimeMissingError) as refused:
            resolve_model(elsewhere, CHAMPION, "molecules")
    assert str(refused.value).startswith(f"{CHAMPION} cannot be fetched from MLflow, see MLFLOW_TRACKING_URI: ")
    assert "\n" not in str(refused.value)
