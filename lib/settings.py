"""Settings: composed from YAML layers, overridden by --set, checked once, all faults at once.

conf/base.yaml <- conf/datasets/<dataset>.yaml <- conf/environments/<environment>.yaml <- --set a.b=c.
Every value stands in base.yaml once, with its meaning and unit; lib/sections/ and model/config.py have the types.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lib.errors import SettingsError
from lib.sections.captioning import PredictionSettings
from lib.sections.captions import CaptionSettings
from lib.sections.images import CleaningSettings
from lib.sections.lake import MaintenanceSettings, SparkSettings, StorageSettings
from lib.sections.landing import LandingSettings
from lib.sections.molecules import DrawingSettings, WearSettings
from lib.sections.reporting import EvaluationSettings, ReportSettings
from lib.sections.reviewing import ReviewingSettings
from lib.sections.serving import ServingSettings
from lib.sections.training import ClusterSettings, PromotionSettings, SearchSettings, TrackingSettings
from lib.yaml_files import parse_yaml, read_yaml
from model.config import CaptionerConfig, TrainingConfig

RENAMED_ENDS = {"_share": "_fraction", "_focus": "_focal_exponent"}  # of settings' names, until version 0.2
REMOVED = {  # what has become of settings that there are no longer
    "prediction.length_penalty": "was removed: candidates are compared by their probabilities; leave it out",
    "captioner.canvas_height_px": "is cleaning.canvas_height_px now",
    "captioner.canvas_width_px": "is cleaning.canvas_width_px now",
}
QUOTES = ("'", '"')
MARKS_OF_YAML = {  # what a value begins with that is YAML; others of settings of these types are taken as typed
    str: QUOTES,
    str | None: QUOTES,
    tuple[str, ...]: (*QUOTES, "["),
}
YAML_NULLS = ("", "~", "null", "Null", "NULL")
CONF = Path(__file__).resolve().parent.parent / "conf"


class Settings(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    environment: str
    conf: str | None = None  # the folder that the settings were read from; None = the project's own
    landing: LandingSettings
    storage: StorageSettings
    spark: SparkSettings
    drawing: DrawingSettings
    wear: WearSettings
    cleaning: CleaningSettings
    captions: CaptionSettings
    captioner: CaptionerConfig
    training: TrainingConfig
    cluster: ClusterSettings
    search: SearchSettings
    prediction: PredictionSettings
    serving: ServingSettings
    reviewing: ReviewingSettings
    tracking: TrackingSettings
    promotion: PromotionSettings
    evaluation: EvaluationSettings
    report: ReportSettings
    maintenance: MaintenanceSettings

    @model_validator(mode="before")
    @classmethod
    def _spell_out_bools(cls, values: dict[str, Any]) -> dict[str, Any]:
        """YAML's `yes` is true, which would be taken for 1 where a number belongs: as a text it is refused."""
        for section in SECTIONS & values.keys():
            kinds = _types_of(section)
            if isinstance(values[section], dict):
                named = {
                    name: _spelled_out(value) if _is_of_numbers(kinds.get(name)) else value
                    for name, value in values[section].items()
                }
                values = {**values, section: named}
        return values

    @model_validator(mode="after")
    def _check_arrow(self) -> Self:
        """Arrow holds at most 2 GiB in a column of bytes."""
        most = self.landing.max_image_bytes * self.spark.arrow_records_per_batch
        if most >= 2**31:
            raise ValueError(
                f"landing.max_image_bytes times spark.arrow_records_per_batch is {most:,} bytes, which must stay below "
                f"{2**31:,}"
            )
        return self

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        """The network must be built for the images that cleaning makes."""
        num_channels = 1 if self.cleaning.color == "grey" else 3
        if num_channels != self.captioner.num_channels:
            raise ValueError(
                f"cleaning.color {self.cleaning.color} makes images of {num_channels} channels, "
                f"captioner.num_channels is {self.captioner.num_channels}"
            )
        return self

    @model_validator(mode="after")
    def _check_what_is_blanked(self) -> Self:
        """Positions are blanked in features that the encoder computed before training; pixels have none."""
        if self.training.blanked_fraction and not self.captioner.has_lasting_features:
            raise ValueError(
                f"training.blanked_fraction is {self.training.blanked_fraction}, which blanks features of a frozen "
                "encoder with named weights: set captioner.is_encoder_frozen and captioner.encoder_weights, or "
                "training.blanked_fraction to 0"
            )
        return self

    @model_validator(mode="after")
    def _check_what_is_for_sentences(self) -> Self:
        """CIDEr needs sentences, and mirrored images need captions that stay true of them, which drawings' do not."""
        if self.evaluation.scores_sentences:
            return self
        metrics = f"but evaluation.metrics is {self.evaluation.metrics}"
        if self.training.objective == "cider":
            raise ValueError(f"training.objective is cider, {metrics}: CIDEr rewards sentences alone")
        if self.training.mirrored_fraction:
            raise ValueError(
                f"training.mirrored_fraction is {self.training.mirrored_fraction}, {metrics}: a mirrored drawing shows "
                "something else than its caption"
            )
        return self


OWN_ARGUMENTS = {"dataset", "environment", "conf"}  # they say which settings files are read
SECTIONS = Settings.model_fields.keys() - OWN_ARGUMENTS


def load_settings(
    dataset: str, environment: str, overrides: Iterable[str] = (), conf: Path | str | None = None
) -> Settings:
    """Compose and check the settings of one run.

    `overrides` are `a.b=value` strings, the value written as YAML. Raises SettingsError listing every fault.
    """
    folder = Path(conf) if conf else CONF
    values: dict[str, Any] = {}
    for layer in ("base", f"datasets/{dataset}", f"environments/{environment}"):
        _merge(values, _read_layer(folder, layer))
    for override in overrides:
        _set(values, *_parse_override(override))
    try:
        return Settings(dataset=dataset, environment=environment, conf=str(conf) if conf else None, **values)
    except (ValidationError, TypeError) as error:
        raise SettingsError(_describe(error)) from None


def _read_layer(conf: Path, layer: str) -> dict[str, Any]:
    path = conf / f"{layer}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise SettingsError(f"no settings file {path}; known here: {known}")
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} holds {type(values).__name__}, not keys with values")
    for section in values.keys() & SECTIONS:
        if not isinstance(values[section], dict | None):
            raise SettingsError(
                f"{path}: {section} is a section and holds {values[section]!r}: write its settings below it, indented, "
                "each as name: value"
            )
    return {key: value for key, value in values.items() if value is not None or key not in SECTIONS}


def _parse_override(override: str) -> tuple[list[str], Any]:
    """The parts of the name of a setting, and its value."""
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise SettingsError(f"--set {override!r}: write it as section.key=value")
    if (name := key.partition(".")[0]) in OWN_ARGUMENTS:
        raise SettingsError(f"--set {override!r}: write --{name} {text} instead")
    if key in SECTIONS:
        raise SettingsError(f"--set {override!r}: {key} is a section: set one of its settings, as {key}.key=value")
    is_yaml = text.strip().startswith(MARKS_OF_YAML.get(_type_of(key), ""))
    if not is_yaml and text.strip() not in YAML_NULLS:
        value: Any = text.strip()  # as typed: YAML would take a folder `a: b` for a mapping and 2026 for a number
    else:
        try:
            value = parse_yaml(text)
        except SettingsError as error:
            what = f"the value is not YAML ({error}): put texts that begin with a sign in quotes"
            raise SettingsError(f"--set {override!r}: {what}") from None
    return key.split("."), value


def _type_of(key: str) -> Any:
    """The type of the setting of this name; None if there is none."""
    section, _, name = key.partition(".")
    return _types_of(section).get(name)


def _is_of_numbers(kind: Any) -> bool:
    """Whether a type is a number's, or has one's among its parts, and no bool's."""
    parts = get_args(kind)
    return kind in (int, float) or isinstance(kind, int) or (bool not in parts and any(map(_is_of_numbers, parts)))


def _spelled_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled_out(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_spelled_out(part) for part in value]
    return str(value).lower() if isinstance(value, bool) else value


def _types_of(section: str) -> dict[str, Any]:
    """The type of each setting of a section; empty if there is no such section."""
    return get_type_hints(Settings.model_fields[section].annotation) if section in SECTIONS else {}


def _set(values: dict[str, Any], names: list[str], value: Any) -> None:
    """Put a value in place of what there is, which may be a dictionary as a whole."""
    for name in names[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[names[-1]] = value


def _merge(values: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _describe(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "settings"
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            said = f" {REMOVED[key]}" if key in REMOVED else f": unknown setting{_what_is_meant(fault['loc'])}"
            faults.append(f"{key}{said}")
        elif fault["type"] in ("missing", "value_error"):
            faults.append(f"{key}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            faults.append(f"{key}: {fault['msg']} (seen: {fault['input']!r})")
    return f"{len(faults)} setting{'s' if len(faults) != 1 else ''} cannot be used:\n  " + "\n  ".join(faults)


def _what_is_meant(location: tuple[int | str, ...]) -> str:
    """The setting that an unknown one was renamed to, or that it resembles, as the end of a sentence; empty if none."""
    *sections, name = map(str, location)
    known = _types_of(sections[0]) if sections else Settings.model_fields
    for old, new in RENAMED_ENDS.items():
        if name.endswith(old) and (now := name.removesuffix(old) + new) in known:
            return f", which is called {'.'.join([*sections, now])} now"
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f", is {'.'.join([*sections, *alike])} meant?" if alike else ""
