import base64
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook import sealing
from letterbook.errors import ConfigurationError
from letterbook.sealing import KEY_FILE, Sealer, SealError, load_sealer
from letterbook.settings import Settings

KEY = bytes(range(32))
ENCODED = base64.b64encode(KEY).decode()


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path)


@given(st.text(st.characters(codec="utf-8")), st.binary())
def test_what_is_sealed_opens_again(name, secret):
    assert Sealer(KEY).open(name, Sealer(KEY).seal(name, secret)) == secret


def test_a_secret_is_hidden_and_never_sealed_twice_alike():
    sealed = [Sealer(KEY).seal("token", b"a secret of some length") for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert not any(b"secret" in each for each in sealed)


def test_another_name_or_key_does_not_open_it():
    sealed = Sealer(KEY).seal("recipients", b"password")
    with pytest.raises(SealError, match="'archive' in the database was sealed with another key"):
        Sealer(KEY).open("archive", sealed)
    with pytest.raises(SealError, match="LETTERBOOK_SEAL_KEY"):
        Sealer(bytes(32)).open("recipients", sealed)
    assert issubclass(SealError, ConfigurationError)


@given(st.binary(max_size=60))
def test_what_was_not_sealed_does_not_open(octets):
    with pytest.raises(SealError):
        Sealer(KEY).open("token", octets)


@given(st.integers(0, 31), st.integers(1, 255))
def test_a_changed_octet_does_not_open(at, change):
    sealed = bytearray(Sealer(KEY).seal("token", b"1234"))
    sealed[at] ^= change
    with pytest.raises(SealError):
        Sealer(KEY).open("token", bytes(sealed))


def test_a_key_file_is_made_once_for_its_owner_only(settings):
    sealed = load_sealer(settings, may_create=True).seal("token", b"secret")
    path = settings.data / KEY_FILE
    written = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(base64.b64decode(written, validate=False)) == 32
    for may_create in (True, False):
        assert load_sealer(settings, may_create=may_create).open("token", sealed) == b"secret"
    assert path.read_bytes() == written
    assert list(settings.data.iterdir()) == [path]


def test_the_settings_name_the_key(tmp_path):
    sealed = Sealer(KEY).seal("token", b"secret")
    path = tmp_path / "elsewhere.key"
    path.write_text(f"  {ENCODED}\n")
    for settings in (
        Settings(data=tmp_path, seal_key=ENCODED),
        Settings(data=tmp_path, seal_key_file=path),
        Settings(data=tmp_path, seal_key=ENCODED, seal_key_file=tmp_path / "none"),
    ):
        assert load_sealer(settings, may_create=True).open("token", sealed) == b"secret"
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_is_made_where_the_settings_say(tmp_path):
    settings = Settings(data=tmp_path / "none", seal_key_file=tmp_path / "my.key")
    load_sealer(settings, may_create=True)
    assert [each.name for each in tmp_path.iterdir()] == ["my.key"]


def test_no_key_is_made_where_none_may_be(settings):
    with pytest.raises(SealError, match=r"set LETTERBOOK_SEAL_KEY, or put the key .*seal\.key$"):
        load_sealer(settings, may_create=False)
    assert list(settings.data.iterdir()) == []


MALFORMED = ["", "nonsense", base64.b64encode(bytes(16)).decode(), ENCODED[:-1], ENCODED + "AAAA"]


@pytest.mark.parametrize("text", [*MALFORMED, "ключ", f"{ENCODED[:20]} {ENCODED[20:]}"])
def test_a_malformed_key_is_told_and_not_shown(settings, text):
    where = settings.data / KEY_FILE
    where.write_text(text, encoding="utf-8")
    with pytest.raises(
        SealError, match=r"seal\.key must hold 32 bytes|cannot read the key"
    ) as in_file:
        load_sealer(settings, may_create=True)
    with pytest.raises(SealError, match="LETTERBOOK_SEAL_KEY must hold 32 bytes") as in_settings:
        load_sealer(Settings(data=settings.data, seal_key=text), may_create=True)
    assert where.read_text(encoding="utf-8") == text
    assert not text or text not in f"{in_file.value}{in_settings.value}"


def test_a_key_that_cannot_be_read_or_written_is_told(tmp_path):
    with pytest.raises(SealError, match="cannot read the key in"):
        load_sealer(Settings(data=tmp_path, seal_key_file=tmp_path), may_create=True)
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    with pytest.raises(SealError, match=r"cannot write the key to .*: File exists"):
        load_sealer(Settings(data=tmp_path / "link"), may_create=True)


def test_a_missing_data_folder_is_made_for_the_key_and_is_private(tmp_path):
    load_sealer(Settings(data=tmp_path / "new" / "data"), may_create=True)
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


def test_the_key_of_a_faster_process_counts(settings, monkeypatch):
    path = settings.data / KEY_FILE

    def overtaken(length):
        path.write_text(ENCODED)
        return bytes(length)

    monkeypatch.setattr(sealing.secrets, "token_bytes", overtaken)
    sealer = load_sealer(settings, may_create=True)
    monkeypatch.undo()
    assert sealer.open("token", Sealer(KEY).seal("token", b"secret")) == b"secret"
    assert path.read_text() == ENCODED
    assert list(settings.data.iterdir()) == [path]


def test_what_a_killed_process_left_behind_is_not_in_the_way(settings, monkeypatch):
    (settings.data / f"{KEY_FILE}.{sealing.os.getpid()}").write_text("half a k")
    load_sealer(settings, may_create=True)
    assert (settings.data / KEY_FILE).exists()


def test_racing_processes_get_one_key(settings):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from letterbook.sealing import load_sealer\n"
        "from letterbook.settings import Settings\n"
        "sys.stdin.read()\n"
        "sealer = load_sealer(Settings(data=Path(sys.argv[1])), may_create=True)\n"
        "sys.stdout.write(sealer.seal('token', b'secret').hex())\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, settings.data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in racers:
        each.stdin.close()
    sealed = []
    for each in racers:
        with each:
            sealed.append(each.stdout.read())
    sealer = load_sealer(settings, may_create=False)
    assert [sealer.open("token", bytes.fromhex(each)) for each in sealed] == [b"secret"] * 4
    assert [each.name for each in settings.data.iterdir()] == [KEY_FILE]
