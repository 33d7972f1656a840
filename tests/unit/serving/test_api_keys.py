"""API keys and how often one may ask: `pytest tests/unit/serving/test_api_keys.py`."""

import json
import re
import shlex
import stat
from pathlib import Path

import pytest

from jobs import api_keys
from lib.errors import SettingsError
from lib.serving.api_keys import ApiKeys
from lib.serving.request_rates import RequestRates
from lib.serving.server import address_of, check_tls_and_keys, listen
from lib.settings import load_settings


def test_a_key_is_known_by_its_name_until_it_is_revoked(tmp_path: Path) -> None:
    keys = ApiKeys(str(tmp_path))
    assert keys.name_of("cl_guess") is None
    first, second = keys.add("first"), keys.add("second")
    assert (keys.name_of(first), keys.name_of(second), keys.name_of(first + "x")) == ("first", "second", None)
    ApiKeys(str(tmp_path)).revoke("first")  # by another process
    assert (keys.name_of(first), keys.name_of(second)) == (None, "second")


def test_keys_are_kept_as_hashes_in_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    keys = ApiKeys(str(tmp_path))
    key = keys.add("first")
    assert len(key) >= 43
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    (entry,) = json.loads(keys.path.read_text())
    assert entry.keys() == {"name", "sha256", "created_at"}
    assert not any(key in path.read_text() for path in keys.path.parent.iterdir())


def test_a_name_that_is_taken_odd_or_unknown_is_refused(tmp_path: Path) -> None:
    keys = ApiKeys(str(tmp_path))
    keys.add("first")
    with pytest.raises(SettingsError, match="there is a key 'first' already"):
        keys.add("first")
    with pytest.raises(SettingsError, match="is not a valid name for a key"):
        keys.add("a b\n")
    with pytest.raises(SettingsError, match=r"there is no key 'second' \(there are: first\)"):
        keys.revoke("second")
    keys.path.write_text("{")
    with pytest.raises(SettingsError, match="holds no keys"):
        keys.entries()


def test_keys_that_cannot_be_read_or_written_are_said_in_one_sentence(tmp_path: Path) -> None:
    said = "cannot be used .*: make keys and serve as the same user"
    keys = ApiKeys(str(tmp_path))
    key = keys.add("first")
    keys.path.unlink()
    keys.path.mkdir()  # refused to every user, as another user's file is to all but root
    for ask in (keys.entries, lambda: keys.name_of(key), lambda: keys.add("second")):
        with pytest.raises(SettingsError, match=said):
            ask()
    (tmp_path / "a file").touch()
    nowhere = ApiKeys(str(tmp_path / "a file"))
    for ask in (nowhere.entries, lambda: nowhere.name_of(key), lambda: nowhere.add("second")):
        with pytest.raises(SettingsError, match=said):
            ask()


def test_the_command_makes_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--set", f"storage.root={tmp_path}"]
    api_keys.main([*root, "add", "first"])
    key = capsys.readouterr().out.strip()
    assert ApiKeys(str(tmp_path)).name_of(key) == "first"
    api_keys.main([*root, "list"])
    listed = capsys.readouterr().out
    assert listed.startswith("first  made 2")
    assert key not in listed
    api_keys.main([*root, "revoke", "first"])
    assert ApiKeys(str(tmp_path)).entries() == []


@pytest.mark.parametrize("after", [0, 1, 2])
def test_the_commands_options_may_stand_anywhere(tmp_path: Path, after: int) -> None:
    words = ["add", "first"]
    api_keys.main([*words[:after], "--set", f"storage.root={tmp_path}", *words[after:]])
    assert [entry.name for entry in ApiKeys(str(tmp_path)).entries()] == ["first"]


@pytest.mark.parametrize("words", [["add"], ["revoke"], ["list", "first"], ["remove", "first"]])
def test_a_command_that_lacks_its_name_is_refused(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        api_keys.main(["--set", f"storage.root={tmp_path}", *words])
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_nobody_could_ask_names_the_command_that_makes_a_key(tmp_path: Path) -> None:
    root = tmp_path / "a lake"
    settings = load_settings("molecules", "local", [f"storage.root={root}", "serving.host=0.0.0.0"])
    with pytest.raises(SettingsError, match="need an API key") as refused:
        check_tls_and_keys(settings.serving, ApiKeys(settings.storage.root))
    (command,) = re.findall(r"`python -m jobs\.api_keys (.*)`", str(refused.value))
    api_keys.main(shlex.split(command.replace("NAME", "first")))
    check_tls_and_keys(settings.serving, ApiKeys(str(root)))


def test_each_asker_has_a_number_of_requests_a_minute() -> None:
    rates = RequestRates(2)
    asked = [rates.seconds_to_wait("one") for _ in range(6)]  # a new minute may begin in between
    waits = [wait for wait in asked if wait is not None]
    assert waits
    assert all(0 < wait <= 60 for wait in waits)
    assert rates.seconds_to_wait("other") is None


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", r"http://127\.0\.0\.1:\d+"), ("::1", r"http://\[::1\]:\d+")]
)
def test_the_address_that_is_said_is_one_that_clients_take(host: str, address: str) -> None:
    serving = load_settings("molecules", "local", [f"serving.host={host}", "serving.port=0"]).serving
    try:
        listening = listen(serving)
    except SettingsError:
        pytest.skip(f"this machine has no address {host}")
    with listening:
        assert re.fullmatch(address, address_of(listening, serving))
