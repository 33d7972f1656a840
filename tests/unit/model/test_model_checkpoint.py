"""Checkpoints: what was saved is what is loaded, whole or not at all, and loading runs nothing."""

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from model.batches import as_ink
from model.captioner import Captioner
from model.checkpoint import (
    captioner_to_train,
    load_captioner,
    load_details,
    load_training_state,
    new_captioner,
    save_checkpoint,
)
from model.decoding import greedy
from model.errors import CheckpointError, EncoderWeightsError
from model.training_loop import TrainingState, ignore_step, make_optimizer, pack_training, train_epoch, unpack_training
from model.vocabulary import Vocabulary
from tests.unit.tiny_captioner import TINY, VOCABULARY, quick_training, stroke_batch, tiny_captioner, tiny_config

DETAILS = {"notation": "inchi", "max_tokens": 20}


def save(directory: Path, captioner: Captioner | None = None, note: str = "first", **more: object) -> Captioner:
    captioner = captioner or tiny_captioner()
    save_checkpoint(directory, captioner, VOCABULARY, details=DETAILS, provenance={"note": note}, **more)
    return captioner


def note_of(directory: Path) -> str:
    return load_captioner(directory)[2]["note"]


def test_a_loaded_captioner_says_what_the_saved_one_said(tmp_path: Path) -> None:
    saved, batch = save(tmp_path / "model").eval(), stroke_batch(4)
    captioner, vocabulary, provenance = load_captioner(tmp_path / "model")
    assert (vocabulary, provenance) == (VOCABULARY, {"note": "first"})
    assert captioner.config == saved.config
    assert not captioner.training
    images = as_ink(batch.images)
    assert torch.equal(captioner(images, batch.inputs), saved(images, batch.inputs))
    assert load_details(tmp_path / "model") == DETAILS


def test_a_checkpoint_of_version_0_2_is_read_as_it_was_then() -> None:
    captioner, vocabulary, provenance = load_captioner(Path(__file__).parent / "checkpoint_0_2")
    assert (vocabulary, provenance) == (VOCABULARY, {"model_version": "m1"})
    written = greedy(captioner.eval(), as_ink(stroke_batch(3).images), 6)
    assert [one.token_ids for one in written] == [(4,) * 6] * 3
    assert [one.score for one in written] == pytest.approx([-13.84819, -13.84629, -13.84572], abs=1e-4)


def test_half_precision_halves_the_file_and_loads_as_fp32(tmp_path: Path) -> None:
    saved = tiny_captioner()
    with torch.no_grad():
        saved.decoder.output.bias[0] = 1e6  # more than fp16 can hold
    save(tmp_path / "whole", saved)
    save(tmp_path / "half", saved, is_half_precision=True)
    sizes = [(tmp_path / name / "weights.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    for name, tensor in load_captioner(tmp_path / "half")[0].state_dict().items():
        expected = saved.state_dict()[name]
        assert tensor.dtype == expected.dtype
        torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-6)


def test_training_state_comes_back_with_its_optimizer(tmp_path: Path) -> None:
    captioner = tiny_captioner()
    optimizer = make_optimizer(captioner, quick_training())
    captioner(as_ink(stroke_batch(4).images), stroke_batch(4).inputs).sum().backward()
    optimizer.step()
    save(tmp_path / "model", captioner, training_state=pack_training(TrainingState(epoch=2, step=9), optimizer))
    restored = make_optimizer(captioner, quick_training())
    packed = load_training_state(tmp_path / "model")
    assert packed is not None
    assert unpack_training(packed, restored) == TrainingState(epoch=2, step=9)
    moments = [state["exp_avg"] for state in optimizer.state.values()]
    assert all(torch.equal(a, b["exp_avg"]) for a, b in zip(moments, restored.state.values(), strict=True))


def test_a_checkpoint_saved_to_use_has_no_training_state(tmp_path: Path) -> None:
    save(tmp_path / "model")
    assert load_training_state(tmp_path / "model") is None


def test_a_label_that_starting_weights_do_not_know_begins_as_never_seen(tmp_path: Path) -> None:
    known = save(tmp_path / "model").eval()
    grown = captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(num_cell_labels=4), VOCABULARY).eval()
    assert (known.config.num_cell_labels, grown.config.num_cell_labels) == (3, 4)
    batch = stroke_batch(4)
    images = as_ink(batch.images)
    before, after = (one.explain(images, batch.inputs) for one in (known, grown))
    assert torch.equal(after.logits, before.logits)
    torch.testing.assert_close(after.cells[..., :3], before.cells)
    assert (after.cells[..., 3].sigmoid() < 0.01).all()
    save(tmp_path / "grown", grown)
    assert load_captioner(tmp_path / "grown")[0].config.num_cell_labels == 4


def test_weights_without_labels_begin_as_never_having_seen_any(tmp_path: Path) -> None:
    save(tmp_path / "model", tiny_captioner(num_cell_labels=0))
    grown = captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(), VOCABULARY).eval()
    cells = grown.explain(as_ink(stroke_batch(2).images), stroke_batch(2).inputs).cells
    assert cells.shape[-1] == 3
    assert (cells.sigmoid() < 0.01).all()


def test_a_token_that_starting_weights_do_not_know_is_added_behind_theirs(tmp_path: Path) -> None:
    known = save(tmp_path / "model").eval()
    vocabulary = VOCABULARY.extended(["[2H]", VOCABULARY.tokens[-1]])
    assert vocabulary.tokens == (*VOCABULARY.tokens, "[2H]")
    grown = captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(), vocabulary).eval()
    batch = stroke_batch(4)
    before, after = (one(as_ink(batch.images), batch.inputs) for one in (known, grown))
    torch.testing.assert_close(after[..., :-1], before)
    assert (after[..., -1] < -4).all()
    save_checkpoint(tmp_path / "grown", grown, vocabulary, details={}, provenance={})
    assert load_captioner(tmp_path / "grown")[1] == vocabulary


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_training_that_starts_from_weights_is_as_the_settings_say(tmp_path: Path, is_frozen: bool) -> None:
    started = tiny_captioner(dropout=0.5, is_encoder_frozen=not is_frozen)
    save(tmp_path / "model", started)
    asked = tiny_config(dropout=0.1, is_encoder_frozen=is_frozen, num_cell_labels=4)
    captioner = captioner_to_train(tmp_path / "none", tmp_path / "model", asked, VOCABULARY)
    assert captioner.config == asked
    assert captioner.decoder.dropout == 0.1
    assert captioner.encoder.is_frozen is is_frozen
    assert {one.requires_grad for one in captioner.encoder.backbone.parameters()} == {not is_frozen}
    learned = captioner.state_dict()
    assert all(
        torch.equal(tensor, learned[name]) for name, tensor in started.state_dict().items() if "cells" not in name
    )
    optimizer = make_optimizer(captioner, quick_training())
    train_epoch(captioner, [stroke_batch(4)], optimizer, quick_training(), TrainingState(), 1, on_step=ignore_step)


def test_weights_of_another_network_to_start_from_are_one_sentence(tmp_path: Path) -> None:
    save(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"model is another than that to train \(.*\)$") as caught:
        captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(width=16), VOCABULARY)
    assert "\n" not in str(caught.value)


def test_tokens_in_another_order_than_those_of_the_starting_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is not the beginning of that to train with"):
        captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(), Vocabulary.from_tokens(["A"]))


class Malicious:
    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.evidence),))


def test_code_in_a_training_state_is_refused_and_does_not_run(tmp_path: Path) -> None:
    save(tmp_path / "model")
    evidence = tmp_path / "was_here"
    for write in (
        lambda path: torch.save({"state": Malicious(evidence)}, path),
        lambda path: path.write_bytes(pickle.dumps(Malicious(evidence), protocol=2)),
        lambda path: path.write_bytes(b"not a file of torch's"),
    ):
        write(tmp_path / "model" / "training_state.pt")
        with pytest.raises(CheckpointError, match=r"training_state\.pt"):
            load_training_state(tmp_path / "model")
        load_captioner(tmp_path / "model")
        assert not evidence.exists()


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(directory: Path, change: object) -> None:
    path = directory / "weights.safetensors"
    weights = safetensors.torch.load(path.read_bytes())
    change(weights)
    path.write_bytes(safetensors.torch.save(weights))


DAMAGES = {
    "a weight is missing": (lambda d: edit_weights(d, lambda w: w.pop("decoder.keys.weight")), "decoder.keys.weight"),
    "a weight is unknown": (lambda d: edit_weights(d, lambda w: w.update(extra=torch.zeros(1))), "extra"),
    "a weight has another shape": (
        lambda d: edit_weights(d, lambda w: w.update({"decoder.keys.bias": torch.zeros(3)})),
        r"decoder\.keys\.bias .* has shape \(3,\), expected \(32,\)",
    ),
    "the weights are cut off": (
        lambda d: (d / "weights.safetensors").write_bytes((d / "weights.safetensors").read_bytes()[:-100]),
        "cannot be read",
    ),
    "the format is of another version": (
        lambda d: edit_json(d / "config.json", format_version=99),
        "format_version 99, expected 1",
    ),
    "the config has an unknown field": (
        lambda d: edit_json(d / "config.json", captioner=TINY | {"depth": 1}),
        "unexpected keyword argument 'depth'",
    ),
    "the config lacks a field": (lambda d: edit_json(d / "config.json", captioner={"encoder": "inknet"}), "missing"),
    "the config lacks the captioner": (
        lambda d: (d / "config.json").write_text('{"format_version": 1, "details": {}}'),
        "captioner",
    ),
    "the config is no JSON": (lambda d: (d / "config.json").write_text("{"), r"config\.json cannot be read"),
    "the vocabulary is shorter": (
        lambda d: (d / "vocabulary.json").write_text(json.dumps(VOCABULARY.tokens[:-1])),
        "has shape",
    ),
    "the config asks for more than any memory holds": (
        lambda d: edit_json(d / "config.json", captioner=TINY | {"width": 10**6}),
        "has shape",
    ),
    "the config asks for more than can be counted": (
        lambda d: edit_json(d / "config.json", captioner=TINY | {"width": 10**12}),
        "cannot be built as its config",
    ),
    "the config asks for no whole number": (
        lambda d: edit_json(d / "config.json", captioner=TINY | {"width": "32"}),
        "cannot be read",
    ),
    "the config is too deep": (
        lambda d: (d / "config.json").write_text('{"a":' * 100_000),
        r"config\.json cannot be read",
    ),
    "the vocabulary is too deep": (lambda d: (d / "vocabulary.json").write_text("[" * 100_000), "is not JSON"),
    "a file is missing": (lambda d: (d / "provenance.json").unlink(), r"provenance\.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_what_is_wrong(damage: str, tmp_path: Path) -> None:
    save(tmp_path / "model")
    inflict, seen = DAMAGES[damage]
    inflict(tmp_path / "model")
    with pytest.raises(CheckpointError, match=seen) as refused:
        load_captioner(tmp_path / "model")
    assert str(tmp_path / "model") in str(refused.value)


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"notation": "inchi"},
        {"notation": 1, "max_tokens": 9},
        *({"notation": "x", "max_tokens": n} for n in (True, "9", 0, 10**9)),
    ],
)
def test_details_that_say_not_what_is_written_or_how_long_are_refused(details: object, tmp_path: Path) -> None:
    save(tmp_path / "model")
    edit_json(tmp_path / "model" / "config.json", details=details)
    with pytest.raises(CheckpointError, match="in its details, expected a name and a number from 1 to 10000"):
        load_details(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "provenance.json", "weights.safetensors"])
def test_a_checkpoint_whose_file_leads_out_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    save(tmp_path / "model")
    file = tmp_path / "model" / name
    file.rename(tmp_path / name)
    file.symlink_to(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name} is a link to a file outside the checkpoint"):
        load_captioner(tmp_path / "model")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(CheckpointError, match=rf"{name} is a link to a file outside the checkpoint"):
        load_captioner(tmp_path / "model")


def test_a_checkpoint_does_not_read_the_encoder_weights_that_its_config_names(tmp_path: Path) -> None:
    save(tmp_path / "model")
    there = tmp_path / "weights.pth"
    os.mkfifo(there)  # who opened it would wait for ever
    edit_json(tmp_path / "model" / "config.json", captioner=TINY | {"encoder_weights": str(there)})
    assert load_captioner(tmp_path / "model")[0].config.encoder_weights == str(there)


def test_no_directory_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_captioner(tmp_path / "model")


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


WRITING = [(Path, "mkdir"), (Path, "write_bytes"), (Path, "write_text"), (Path, "rename"), (torch, "save")]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("instant", range(8))
def test_a_kill_at_any_instant_leaves_the_old_checkpoint_or_the_new_one(
    instant: int, is_after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, calls = tmp_path / "model", []
    save(directory, note="old")
    state = pack_training(TrainingState(), make_optimizer(tiny_captioner(), quick_training()))
    # Killed a second time, early: what the first kill left must not be cleared away before there is a successor.
    for instant_now in (instant, 2):
        calls.clear()
        with monkeypatch.context() as patched:
            for owner, name in WRITING:
                patched.setattr(owner, name, killed_at(instant_now, is_after, getattr(owner, name), calls))
            with pytest.raises(Killed):
                save(directory, note="new", training_state=state)
        assert len(calls) == instant_now + 1
        assert note_of(directory) in ("old", "new")
    save(directory, note="newest")
    assert note_of(directory) == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def killed_at(instant: int, is_after: bool, write: object, calls: list) -> object:
    def killable(*args: object, **kwargs: object) -> object:
        calls.append(write)
        if len(calls) == instant + 1 and not is_after:
            raise Killed
        result = write(*args, **kwargs)
        if len(calls) == instant + 1:
            raise Killed
        return result

    return killable


def test_a_new_captioner_starts_with_the_weights_its_config_names(tmp_path: Path) -> None:
    donor = tiny_captioner(seed=5).encoder.backbone.layers.state_dict()
    safetensors.torch.save_file(donor, tmp_path / "inknet.safetensors")
    captioner = new_captioner(tiny_config(encoder_weights=str(tmp_path / "inknet.safetensors")), VOCABULARY)
    for name, tensor in captioner.encoder.backbone.layers.state_dict().items():
        assert torch.equal(tensor, donor[name]), name
    with pytest.raises(EncoderWeightsError):
        new_captioner(tiny_config(encoder_weights="gone.pth"), VOCABULARY)
