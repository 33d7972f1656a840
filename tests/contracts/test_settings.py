"""Settings: one path for values, every fault at once, every value of base.yaml explained."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lib.errors import SettingsError
from lib.settings import CONF, SECTIONS, load_settings
from lib.yaml_files import parse_yaml

ON_DATABRICKS = ["landing.path=/Volumes/main/captionlake/landing", "storage.root=/Volumes/main/captionlake/lake"]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    shutil.copytree(CONF, tmp_path / "conf")
    return tmp_path / "conf"


def refusal(*overrides: str, dataset: str = "molecules", environment: str = "local", conf: Path = CONF) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(dataset, environment, overrides, conf)
    return str(refused.value)


@pytest.mark.parametrize("dataset", ["molecules", "photos"])
@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_every_dataset_loads_in_every_environment(dataset: str, environment: str) -> None:
    settings = load_settings(dataset, environment, [] if environment == "local" else ON_DATABRICKS)
    assert (settings.dataset, settings.environment) == (dataset, environment)
    assert settings.storage.root == ("lake" if environment == "local" else "/Volumes/main/captionlake/lake")


def test_paths_that_neither_the_environment_nor_the_command_line_names_are_refused() -> None:
    message = refusal(environment="dev")
    assert "landing.path" in message
    assert "storage.root" in message


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_an_unknown_key_is_refused_in_every_section(section: str) -> None:
    message = refusal(f"{section}.no_such_key=1")
    assert message.startswith(f"1 setting cannot be used:\n  {section}.no_such_key: unknown setting")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("captions.test_share", "captions.test_fraction"),
        ("training.warmup_share", "training.warmup_fraction"),
        ("training.cell_loss_focus", "training.cell_loss_focal_exponent"),
        ("drawing.stereo_share", "drawing.stereo_fraction"),
        ("wear.thick_share", "wear.thick_fraction"),
    ],
)
def test_the_old_name_of_a_setting_is_refused_with_the_new_one_named(old: str, new: str) -> None:
    assert refusal(f"{old}=0.1").endswith(f"{old}: unknown setting, which is called {new} now")


def test_settings_say_which_folder_they_were_read_from(tmp_path: Path) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    assert load_settings("molecules", "local", conf=tmp_path / "conf").conf == str(tmp_path / "conf")
    assert load_settings("molecules", "local").conf is None


def test_a_setting_that_was_removed_is_refused_with_what_became_of_it() -> None:
    assert "prediction.length_penalty was removed: " in refusal("prediction.length_penalty=0.6")
    assert "captioner.canvas_width_px is cleaning.canvas_width_px now" in refusal("captioner.canvas_width_px=640")


def test_a_name_that_no_setting_ever_had_is_not_said_to_have_a_new_one() -> None:
    assert refusal("captions.market_share=0.1").endswith("captions.market_share: unknown setting")


def test_an_unknown_section_is_refused() -> None:
    assert refusal("elephants.max_pixels=4") == "1 setting cannot be used:\n  elephants: unknown setting"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("claening.max_pixels", "cleaning"), ("cleaning.colour", "cleaning.color"), ("spark.masters", "spark.master")],
)
def test_a_setting_that_is_spelt_wrong_is_refused_with_the_one_that_is_meant(typed: str, meant: str) -> None:
    assert refusal(f"{typed}=4").endswith(f": unknown setting, is {meant} meant?")


def test_a_value_of_the_wrong_type_is_refused_with_the_value_that_was_seen() -> None:
    message = refusal("cleaning.max_pixels=many")
    assert re.fullmatch(r"1 setting cannot be used:\n  cleaning\.max_pixels: .*integer.* \(seen: 'many'\)", message)


def test_a_value_out_of_range_is_refused() -> None:
    message = refusal("captions.validation_fraction=0.7")
    assert message.endswith("captions.validation_fraction: Input should be less than 0.5 (seen: 0.7)")


def test_positions_are_blanked_in_features_alone() -> None:
    blanked = "training.blanked_fraction=0.1"
    assert load_settings("photos", "local", [blanked]).training.blanked_fraction == 0.1
    for override in ("captioner.is_encoder_frozen=false", "captioner.encoder_weights=random"):
        with pytest.raises(SettingsError, match=r"blanked_fraction is 0\.1, which blanks features of a frozen encoder"):
            load_settings("photos", "local", [blanked, override])


@pytest.mark.parametrize("override", ["training.objective=cider", "training.mirrored_fraction=0.5"])
def test_what_is_for_sentences_is_refused_for_molecules(override: str) -> None:
    overrides = ["landing.path=x", "storage.root=x", "training.start_from=pretrained", override]
    with pytest.raises(SettingsError, match=r"but evaluation\.metrics is"):
        load_settings("molecules", "local", overrides)
    load_settings("photos", "local", overrides)


@pytest.mark.parametrize(
    "url",
    [
        "s3://name:hunter2@bucket/arrived",
        "https://hunter2@store/arrived",
        "https://store/arrived?sig=hunter2",
        "https://store/arrived?a=1&access_key=hunter2",
    ],
)
def test_a_landing_zone_whose_url_holds_a_secret_is_refused_without_repeating_it(url: str) -> None:
    message = refusal(f"landing.path={url}")
    assert "landing.path: the URL holds a password or key" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["abfss://images@store.dfs.core.windows.net/arrived", "s3://bucket/key=1/arrived"])
def test_a_landing_zone_without_a_secret_in_its_url_is_taken(url: str) -> None:
    assert load_settings("molecules", "local", [f"landing.path={url}"]).landing.path == url


def test_all_faults_are_reported_at_once() -> None:
    message = refusal("cleaning.max_pixels=many", "landing.image_suffix=.png", "spark.shuffle_partitions=0")
    assert message.startswith("3 settings cannot be used:\n")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "landing.image_suffix",
        "spark.shuffle_partitions",
        "cleaning.max_pixels",
    ]


def test_datasets_override_base_environments_override_datasets_and_the_command_line_overrides_all(conf: Path) -> None:
    (conf / "datasets/maps.yaml").write_text("landing: {caption_column: title}\nspark: {master: 'local[3]'}")
    (conf / "environments/big.yaml").write_text(
        "landing: {path: /arrived}\nstorage: {root: /lake}\nspark: {master: 'local[9]', driver_memory: 9g}"
    )
    base = yaml.safe_load((conf / "base.yaml").read_text())
    settings = load_settings("maps", "big", ["spark.driver_memory=5g"], conf)
    assert settings.landing.max_image_bytes == base["landing"]["max_image_bytes"]
    assert settings.landing.caption_column == "title"
    assert (settings.spark.master, settings.spark.driver_memory) == ("local[9]", "5g")


def test_the_last_override_of_a_key_wins() -> None:
    assert load_settings("molecules", "local", ["storage.root=a", "storage.root=b"]).storage.root == "b"


def test_an_override_is_read_as_yaml() -> None:
    settings = load_settings("molecules", "local", ["cleaning.crop_margin_px=null", "landing.image_suffixes=[.gif]"])
    assert settings.cleaning.crop_margin_px is None
    assert settings.landing.image_suffixes == (".gif",)


@pytest.mark.parametrize("override", ["storage.root", "=lake", "storage.=lake", ".root=lake"])
def test_an_override_that_is_no_key_and_value_is_refused(override: str) -> None:
    assert refusal(override) == f"--set {override!r}: write it as section.key=value"


def test_what_names_settings_files_is_an_argument_of_its_own() -> None:
    assert refusal("dataset=photos") == "--set 'dataset=photos': write --dataset photos instead"
    assert refusal("conf.a=1") == "--set 'conf.a=1': write --conf 1 instead"


def test_a_dictionary_that_is_set_takes_the_place_of_the_whole() -> None:
    asked = ["landing.path=unused", "landing.split_files={test: mine.txt}"]
    assert load_settings("photos", "local", asked).landing.split_files == {"test": "mine.txt"}
    assert load_settings("photos", "local", ["landing.path=unused", "landing.split_files={}"]).landing.split_files == {}
    one = load_settings("photos", "local", ["landing.path=unused", "landing.split_files.test=mine.txt"]).landing
    assert one.split_files["test"] == "mine.txt"
    assert len(one.split_files) == 3


@pytest.mark.parametrize("text", ["/data/May: scans", "2026", "2026-11-28", "[a", "- b", "@c", "*d", "yes", "{e}"])
def test_a_setting_that_is_a_text_is_taken_as_it_is_typed(text: str) -> None:
    overrides = [f"landing.path={text}", f"prediction.model_version={text}", "storage.root=x"]
    settings = load_settings("molecules", "local", overrides)
    assert (settings.landing.path, settings.prediction.model_version) == (text, text)


def test_a_text_may_be_quoted_and_one_that_may_be_null_is_so() -> None:
    overrides = ["landing.path='/data/it''s'", "landing.captions_encoding=null", "storage.root=x"]
    landing = load_settings("molecules", "local", overrides).landing
    assert (landing.path, landing.captions_encoding) == ("/data/it's", None)


def test_an_override_that_is_not_yaml_is_refused() -> None:
    override = "landing.captions_files=[*captions*]"
    assert refusal(override).startswith(f"--set {override!r}: the value is not YAML (line 1, column 11: ")
    assert refusal(override).endswith("): put texts that begin with a sign in quotes")


@pytest.mark.parametrize("pattern", ["*captions*", "&x", "@a.csv", "a: b", "2026", "yes", "'*captions*'", "[a.csv]"])
def test_one_text_of_a_list_may_be_typed_as_it_is(pattern: str) -> None:
    landing = load_settings("molecules", "local", [f"landing.captions_files={pattern}"]).landing
    assert landing.captions_files == (pattern.strip("'[]"),)


@pytest.mark.parametrize(
    ("override", "seen"),
    [
        ("landing.max_captions_per_image=yes", "true"),
        ("captions.test_fraction=no", "false"),
        ("cleaning.crop_margin_px=off", "false"),
        ("training.patience_epochs=true", "true"),
        ("captioner.dropout=false", "false"),
        ("drawing.drawers={indigo: yes}", "true"),
        ("prediction.scales=[1.0, yes]", "true"),
        ("search.batch_size=[yes]", "true"),
    ],
)
def test_yes_and_no_are_no_numbers(override: str, seen: str) -> None:
    message = refusal(override)
    assert message.startswith("1 setting cannot be used:")
    assert message.endswith(f" (seen: '{seen}')")


@pytest.mark.parametrize("scale", ["[2.0, 1.0]", "[0.0, 1.0]"])
def test_a_range_of_sizes_is_in_order_and_above_0(scale: str) -> None:
    message = refusal(f"wear.scale={scale}")
    assert message.startswith("1 setting cannot be used:")
    assert "wear.scale" in message


def test_yes_and_no_are_what_they_say_where_that_is_asked() -> None:
    settings = load_settings("molecules", "local", ["cleaning.keeps_aspect=no", "landing.max_captions_per_image='7'"])
    assert (settings.cleaning.keeps_aspect, settings.landing.max_captions_per_image) == (False, 7)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("landing.image_suffixes=png", "landing.image_suffixes: ['png'] must be endings such as .png"),
        ("landing.image_suffixes=[]", "landing.image_suffixes: [] must be endings such as .png"),
        (
            "landing.captions_files=a.csv, *b*.csv",
            "landing.captions_files: 'a.csv, *b*.csv' is one pattern: write ['a.csv', '*b*.csv'], or ? where a name",
        ),
        ("landing.caption_column=image_id", "image_id_column and caption_column are both image_id, and must differ"),
        ("spark.driver_memory=4", "spark.driver_memory: '4' is not a size of memory such as 4g or 512m"),
        ("cluster.memory_per_spark_executor=4gb", "'4gb' is not a size of memory such as 4g or 512m"),
        ("landing.split_files={train: splits/train.txt}", "'splits/train.txt' has a folder, and files are told by"),
        ("landing.captions_files=[labels.csv, train/*.csv]", "'train/*.csv' has a folder, and files are told by"),
        ("landing.layouts_files=a/b.parquet", "'a/b.parquet' has a folder, and files are told by their names"),
    ],
)
def test_values_that_would_quietly_do_something_else_are_refused(override: str, sentence: str) -> None:
    assert sentence in refusal(override)


def test_endings_of_images_are_taken_in_any_case() -> None:
    assert load_settings("molecules", "local", ["landing.image_suffixes=[.PNG]"]).landing.image_suffixes == (".png",)


def test_an_unknown_dataset_is_refused_with_the_known_ones() -> None:
    assert refusal(dataset="molecule").endswith("molecule.yaml; known here: molecules, photos")


def test_an_unknown_environment_is_refused_with_the_known_ones() -> None:
    assert refusal(environment="staging").endswith("staging.yaml; known here: dev, local, prod")


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (b"landing:\n\timage_id_column: x\n", "line 2, column 1: found character '\\t' that cannot start any token"),
        (b"landing: {path: b\n", "line 2, column 1: expected ',' or '}', but got '<stream end>'"),
        ("landing:\n  caption_column: caf\u00e9\n".encode("latin1"), "line 2: no text in UTF-8: save the file in that"),
        (b"landing:\n  caption_column: a\0b\n", "line 2: the character 0x0000 is not allowed in YAML"),
        (b"spark: {}\n---\nlanding: {}\n", "line 2, column 1: but found another document"),
        (b"landing: !!python/object/apply:os.system ['id']\n", "line 1, column 10: could not determine a constructor"),
        (b"landing: {path: 2026-13-45}\n", "a value that YAML cannot hold: month must be in 1..12"),
        (b"landing:\n  path: x\nlanding:\n  image_id_column: y\n", "line 3, column 1: 'landing' is here a second time"),
        (b"landing:\n  path: x\n  path: y\n", "line 3, column 3: 'path' is here a second time: join the two"),
    ],
)
def test_a_mistake_in_a_settings_file_is_refused_with_its_place(content: bytes, mistake: str, conf: Path) -> None:
    file = conf / "datasets/molecules.yaml"
    file.write_bytes(content)
    assert refusal(conf=conf).replace(f"{file}, ", "", 1).startswith(mistake)
    assert str(file) in refusal(conf=conf)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_settings_file_may_be_in_any_unicode_that_says_so(encoding: str, conf: Path) -> None:
    (conf / "datasets/sheets.yaml").write_bytes("landing:\n  caption_column: l\u00e9gende\n".encode(encoding))
    assert load_settings("sheets", "local", (), conf).landing.caption_column == "l\u00e9gende"


@pytest.mark.parametrize("layer", ["datasets/molecules", "environments/local"])
def test_a_section_with_nothing_in_it_leaves_what_other_files_say(layer: str, conf: Path) -> None:
    known = load_settings("molecules", "local", ON_DATABRICKS, conf)
    file = conf / f"{layer}.yaml"
    kept = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key != "report"}
    file.write_text(yaml.safe_dump(kept) + "report:\n  # num_images: 2\n")
    assert load_settings("molecules", "local", ON_DATABRICKS, conf) == known


@pytest.mark.parametrize("value", ["5", "[path]", "''"])
def test_a_value_where_a_section_belongs_is_refused(value: str, conf: Path) -> None:
    (conf / "datasets/molecules.yaml").write_text(f"landing: {value}\n")
    message = refusal(conf=conf)
    assert "molecules.yaml: landing is a section and holds " in message
    assert message.endswith(": write its settings below it, indented, each as name: value")
    assert refusal(f"landing={value}").endswith(": landing is a section: set one of its settings, as landing.key=value")


def test_a_settings_file_that_holds_no_keys_is_refused(conf: Path) -> None:
    (conf / "datasets/molecules.yaml").write_text("- a\n- b")
    assert refusal(conf=conf).endswith("molecules.yaml holds list, not keys with values")


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("~/lake", str(Path.home() / "lake")),
        ("file:/lake", "/lake"),
        ("file:///lake", "/lake"),
        ("file://localhost/lake", "/lake"),
        ("lake", "lake"),
        ("/Volumes/main/lake", "/Volumes/main/lake"),
    ],
)
def test_a_storage_root_is_a_path_however_it_is_written(root: str, path: str) -> None:
    assert load_settings("molecules", "local", [f"storage.root={root}"]).storage.root == path


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ("dbfs:/lake", "dbfs:... is a URL; name a path, on Databricks one under /Volumes"),
        ("s3://user:secret@lake", "s3:... is a URL; name a path, on Databricks one under /Volumes"),
        ("file://other/lake", "file://other is another machine; name a path of this one"),
        ("~no-such-user/lake", "'~no-such-user/lake' is not a folder that can be used here: name a path"),
        ("''", "'' is not a folder that can be used here: name a path"),
        ("' '", "' ' is not a folder that can be used here: name a path"),
        ("C:/lake", "C:... is a URL; name a path, on Databricks one under /Volumes"),
        ("$HOME/lake", "'$HOME/lake' has blanks around it or a $, and no variable is put in here: write the path out"),
        ("' /lake'", "' /lake' has blanks around it or a $, and no variable is put in here: write the path out"),
        ("file:/a%20b", "'file:/a%20b' has a % in a URL, which programs read differently: name the path itself"),
        ("/la`ke", "/la`ke has a backtick, which Delta does not read in a path; name another folder"),
    ],
)
def test_a_storage_root_that_would_lead_to_an_odd_place_is_refused(root: str, sentence: str) -> None:
    assert refusal(f"storage.root={root}").endswith(f"storage.root: {sentence}")


def test_a_relative_storage_root_below_a_folder_that_delta_does_not_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a`b").mkdir()
    monkeypatch.chdir(tmp_path / "a`b")
    assert f"{tmp_path}/a`b/lake has a backtick" in refusal("storage.root=lake")


@pytest.mark.parametrize("name", ["a.b", "a b", "a/b"])
def test_names_that_no_catalog_can_have_are_refused(name: str) -> None:
    asked = ["storage.root=x", "landing.path=x"]
    for setting, other in (("catalog", "schema_name"), ("schema_name", "catalog")):
        with pytest.raises(SettingsError, match=f"{setting} is '{name}', and names have no blank, dot, slash"):
            load_settings("molecules", "local", [*asked, f"storage.{setting}={name}", f"storage.{other}=main"])


@pytest.mark.parametrize("override", ["storage.catalog=acme-prod", "storage.schema_name=lake"])
def test_a_catalog_without_a_schema_is_refused_and_a_schema_without_a_catalog(override: str) -> None:
    assert "name both, or neither for tables in storage.root" in refusal(override)


def test_settings_do_not_change_once_they_are_loaded() -> None:
    settings = load_settings("molecules", "local")
    with pytest.raises(ValueError, match="frozen"):
        settings.storage.root = "elsewhere"


def unexplained_keys(text: str) -> Iterator[str]:
    """Keys with a value that have a comment neither on their line nor on the line above."""
    above = ""
    for line in text.splitlines():
        key = re.match(r"\s*(\w+):\s*[^\s#]", line)
        if key and not re.search(r"\s#\s*\S", line) and not above.lstrip().startswith("#"):
            yield key.group(1)
        above = line


def test_every_value_of_base_is_explained_beside_it() -> None:
    assert list(unexplained_keys((CONF / "base.yaml").read_text())) == []


def test_a_value_without_explanation_is_found() -> None:
    text = "cluster:  # Ray\n  address: null  # where\n  # how many\n  num_workers: 2\n  memory: 1g\n"
    assert list(unexplained_keys(text)) == ["memory"]


def test_merged_keys_are_no_keys_given_twice() -> None:
    text = "base: &base {a: 1}\ndeep: {mid: &mid {<<: *base, a: 2}}\ntop: {<<: *mid, b: 3}\n"
    assert parse_yaml(text)["top"] == {"a": 2, "b": 3}
