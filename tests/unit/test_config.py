"""Settings: precedence, provenance, and a sentence for every mistake."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server import settings as table
from atrium_server.config import Config, ConfigError, resolve
from atrium_server.settings import SETTINGS


def write(folder: Path, text: str) -> Path:
    path = folder / "atrium.toml"
    path.write_text(text)
    return path


def mistakes(
    flags: dict[str, str | list[str]] | None = None,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(flags or {}, environ or {}, file)
    return list(caught.value.mistakes)


def test_the_table_and_the_object_have_the_same_settings() -> None:
    fields = [field.name for field in dataclasses.fields(Config) if field.name != "sources"]
    assert fields == [setting.name for setting in SETTINGS]


def test_every_default_obeys_its_own_rule() -> None:
    for setting in SETTINGS:
        if setting.name in {"secret_key", "worlds"} or setting.default is None:
            continue  # unset, and a file that is shipped
        for value in setting.default if setting.many else [setting.default]:
            setting.check(value)


def test_with_nothing_given_all_is_default() -> None:
    config = resolve({}, {"HOME": "/nowhere", "PORT": "1"})
    assert (config.host, config.port, config.allowed_origins) == ("127.0.0.1", 8080, ())
    assert config.trusted_networks == (
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )
    assert set(config.sources.values()) == {"default"}


def test_a_flag_wins_over_a_variable_and_that_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'port = 1\nhost = "file"\nseed = 1\n')
    environ = {"ATRIUM_PORT": "2", "ATRIUM_HOST": "variable"}
    config = resolve({"port": "3"}, environ, file)
    assert (config.port, config.host, config.seed) == (3, "variable", 1)
    assert config.sources["port"] == "flag --port"
    assert config.sources["host"] == "environment ATRIUM_HOST"
    assert config.sources["seed"] == f"file {file}"
    assert config.sources["io"] == "default"


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 9000")
    assert resolve({}, {"ATRIUM_CONFIG": str(file)}).port == 9000


def test_the_file_of_the_flag_wins_over_the_one_of_the_variable(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 9000")
    assert resolve({}, {"ATRIUM_CONFIG": "missing.toml"}, file).port == 9000


def test_lists_from_each_place(tmp_path: Path) -> None:
    file = write(tmp_path, 'allowed_origins = ["https://A.example", "http://b.example:81/"]')
    from_file = resolve({}, {}, file).allowed_origins
    from_variable = resolve({}, {"ATRIUM_ALLOWED_ORIGINS": "*, https://c.example"}).allowed_origins
    from_flags = resolve({"allowed_origins": ["https://[::1]:8443"]}, {}).allowed_origins
    assert from_file == ("https://a.example", "http://b.example:81")
    assert from_variable == ("*", "https://c.example")
    assert from_flags == ("https://[::1]:8443",)


def test_an_origin_is_what_a_browser_would_say() -> None:
    given = ["https://a.example:443", "http://b.example:80/", "https://[::1]:443"]
    kept = ["https://a.example:80", "http://b.example:443", "https://c.example:0"]
    told = resolve({"allowed_origins": [*given, *kept]}, {}).allowed_origins
    assert told == ("https://a.example", "http://b.example", "https://[::1]", *kept)


def test_proxies_are_networks() -> None:
    assert resolve({}, {}).forwarded_by == ()
    told = resolve({}, {"ATRIUM_FORWARDED_BY": "127.0.0.2, fd00::/8"}).forwarded_by
    assert told == (ipaddress.ip_network("127.0.0.2/32"), ipaddress.ip_network("fd00::/8"))


def test_an_empty_variable_is_an_empty_list() -> None:
    config = resolve({}, {"ATRIUM_TRUSTED_NETWORKS": ""})
    assert config.trusted_networks == ()
    assert config.sources["trusted_networks"] == "environment ATRIUM_TRUSTED_NETWORKS"


def test_a_path_in_the_file_is_meant_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "hall.toml").write_text("")
    file = write(tmp_path, 'worlds = ["hall.toml"]\nrecord_file = "run.rec"')
    config = resolve({}, {}, file)
    assert config.worlds == (tmp_path / "hall.toml",)
    assert config.record_file == tmp_path / "run.rec"


def test_a_whole_number_will_do_where_a_number_is_wanted(tmp_path: Path) -> None:
    assert resolve({}, {}, write(tmp_path, "resume_s = 5")).resume_s == 5.0


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    file = write(tmp_path, "prot = 1\nseed = true\n")
    told = mistakes({"io": "magic"}, {"ATRIUM_RESUME_S": "31", "ATRIUM_PORTS": "1"}, file)
    assert told == [
        f"file {file}: there is no setting 'prot' (did you mean 'port'?).",
        f"file {file}, seed: must be a whole number, but it is True.",
        "environment ATRIUM_PORTS: there is no such setting (did you mean 'ATRIUM_PORT'?).",
        "environment ATRIUM_RESUME_S: must be from 0.0 to 30.0, but it is 31.0.",
        "flag --io: must be one of auto, kernel, portable, but it is 'magic'.",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('port = "8080"', "must be a whole number, but it is '8080'"),
        ("port = 8080.0", "must be a whole number"),
        ("port = 65536", "must be from 0 to 65,535, but it is 65,536"),
        ("port = -1", "must be from 0 to 65,535"),
        ("resume_s = nan", "must be from 0.0 to 30.0, but it is nan"),
        ("resume_s = 1" + "0" * 400, "must be a number of reasonable size"),
        ("seed = 1" + "0" * 5_000, "is not valid TOML"),
        ('worlds = "plaza.toml"', "must be a list, such as worlds = [...]"),
        ("worlds = [1]", "must be the path of a file, but it is 1"),
        ('worlds = ["missing.toml"]', "there is no such file"),
        ('worlds = [""]', "it is empty"),
        ('worlds = ["' + "a" * 300 + '"]', "cannot be looked at"),
        ('record_file = "missing/run.rec"', "does not exist"),
        ('record_file = "."', "that is a folder"),
        ('allowed_origins = ["example.org"]', "must be an origin"),
        ('allowed_origins = ["https://example.org/page"]', "an origin has no path"),
        ('allowed_origins = ["https://a:b@example.org"]', "must be an origin"),
        ('allowed_origins = ["https://example.org:port"]', "must be an origin"),
        ('trusted_networks = ["10.0.0.1/8"]', "must be a network such as 10.0.0.0/8"),
        ('host = "localhost 8080"', "must be an address or a host name"),
        ('host = "' + "a" * 5_000 + '"', "must have at most 4,096 characters"),
        ('log_level = "loud"', "must be one of debug, info, warning, error"),
        ("connections_max = 0", "must be from 1 to"),
        ("[server]\nport = 1", "there is no setting 'server'"),
        ("port = ", "is not valid TOML"),
        ("worlds = [" + ", ".join(['"a"'] * 300) + "]", "has 300 items; the most is 256"),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(tmp_path: Path, line: str, words: str) -> None:
    file = write(tmp_path, line)
    (told,) = mistakes(file=file)
    assert words in told
    assert told.startswith(f"file {file}")
    assert told.endswith(".")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (told,) = mistakes(file=tmp_path / "missing.toml")
    assert "cannot be read (No such file or directory)" in told
    (tmp_path / "latin.toml").write_bytes(b'host = "\xff"')
    (told,) = mistakes(file=tmp_path / "latin.toml")
    assert "is not UTF-8 text" in told


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = "correct horse battery"
    setting = table.BY_NAME["secret_key"]
    config = resolve({}, {"ATRIUM_SECRET_KEY": secret})
    assert config.secret_key == secret
    assert secret not in repr(config)
    assert table.shown(setting, secret) == "(set)"
    assert not setting.flag
    (told,) = mistakes(environ={"ATRIUM_SECRET_KEY": "hunter2"})
    assert "hunter2" not in told
    (told,) = mistakes(file=write(tmp_path, "secret_key = 123456"))
    assert "123456" not in told


def test_the_configuration_cannot_be_changed() -> None:
    config = resolve({}, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.sources["port"] = "nowhere"  # type: ignore[index]


@given(st.sampled_from(SETTINGS), st.text(max_size=60).filter(lambda text: "\0" not in text))
def test_any_text_is_a_value_or_a_sentence(setting: table.Setting, text: str) -> None:
    source = f"environment {setting.variable}"
    told: tuple[str, ...] = ()
    try:
        told = (resolve({}, {setting.variable: text}).sources[setting.name],)
    except ConfigError as error:
        told = error.mistakes
    assert told
    assert all(sentence.startswith(source) for sentence in told)


def test_a_switch_is_on_or_off(tmp_path: Path) -> None:
    assert resolve({}, {}).ephemeral is False
    assert resolve({"ephemeral": True}, {"ATRIUM_EPHEMERAL": "off"}).ephemeral is True
    for text in ("1", "true", "Yes", "on"):
        assert resolve({}, {"ATRIUM_EPHEMERAL": text}).ephemeral is True
    assert resolve({}, {}, write(tmp_path, "ephemeral = true")).ephemeral is True
    assert mistakes(environ={"ATRIUM_EPHEMERAL": "maybe"}) == [
        "environment ATRIUM_EPHEMERAL: must be true or false, but it is 'maybe'."
    ]
    (told,) = mistakes(file=write(tmp_path, "ephemeral = 1"))
    assert "must be true or false, but it is 1" in told
    assert table.shown(table.BY_NAME["ephemeral"], True) == "on"


def test_the_data_lie_where_the_system_has_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    home = {"HOME": "/nowhere"}
    assert resolve({}, home).data_dir == Path("/nowhere/.local/share/atrium")
    assert resolve({}, {**home, "XDG_DATA_HOME": "/else"}).data_dir == Path("/else/atrium")
    assert resolve({}, {**home, "XDG_DATA_HOME": "a/b"}).data_dir == resolve({}, home).data_dir
    assert resolve({"data_dir": "/mine"}, home).data_dir == Path("/mine")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert resolve({}, home).data_dir == Path("/var/lib/atrium")


def test_a_database_url_is_checked_and_never_shown(tmp_path: Path) -> None:
    url = "postgresql://atrium:hunter2@db.example:5432/atrium"
    config = resolve({}, {"ATRIUM_DATABASE_URL": url})
    assert config.database_url == url
    assert "hunter2" not in repr(config)
    assert table.shown(table.BY_NAME["database_url"], url) == "(set)"
    for wrong, told in (
        ("mysql://root:hunter2@db/atrium", "must begin with postgresql://"),
        ("hunter2", "must begin with postgresql://"),
        ("postgresql://atrium:hunter2@db", "must name a database"),
        ("postgresql://atrium:hunter2@db:99999/atrium", "must be a URL such as"),
        ("postgresql://atrium:hunter2@db/at rium", "must have no spaces"),
        ("postgresql://atrium:hunter2@[db/atrium", "must be a URL such as"),
        ("postgresql://atrium:a@db/atrium#hunter2", "must have no '#'"),
    ):
        (sentence,) = mistakes(environ={"ATRIUM_DATABASE_URL": wrong})
        assert told in sentence
        assert "hunter2" not in sentence


def test_nothing_is_kept_in_two_ways_at_once() -> None:
    flags = {"database_url": "postgresql://db/atrium"}
    assert mistakes(flags, {"ATRIUM_EPHEMERAL": "true"}) == [
        "environment ATRIUM_EPHEMERAL: ephemeral keeps nothing, and database_url "
        "(flag --database-url) says where to keep it: leave one of them out."
    ]


def test_where_the_private_postgres_comes_from_is_checked(tmp_path: Path) -> None:
    (told,) = mistakes({"pg_bin": str(tmp_path)})
    assert "there is no program 'postgres' in it" in told
    (tmp_path / "postgres").touch()
    assert resolve({"pg_bin": str(tmp_path)}, {}).pg_bin == tmp_path
    (told,) = mistakes({"data_dir": str(tmp_path / "postgres")})
    assert "a file and not a folder" in told
    for user in ("root", "", "a b", "../x"):
        (told,) = mistakes(environ={"ATRIUM_PG_USER": user})
        assert "must be the name of an ordinary user" in told


def test_the_reference_in_the_docs_is_the_table() -> None:
    docs = Path(__file__).parents[2] / "docs" / "SETTINGS.md"
    assert table.reference_markdown() in docs.read_text(), (
        f"run: atrium config --reference, and put its output into {os.path.relpath(docs)}"
    )
