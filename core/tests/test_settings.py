"""Settings: where a value comes from, and what is said of a bad one."""

import json

import pytest

from flow_core.errors import SettingsError
from flow_core.settings import Settings, state_folder


@pytest.fixture
def make(tmp_path):
    """Settings of a project folder, a user's file and variables."""

    def made(project=None, user=None, **variables):
        folder = tmp_path / "project" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        if project is not None:
            (tmp_path / "project" / "pyproject.toml").write_text(project)
        if user is not None:
            (tmp_path / ".config" / "flow").mkdir(parents=True, exist_ok=True)
            (tmp_path / ".config" / "flow" / "config.toml").write_text(user)
        return Settings({"HOME": str(tmp_path), **variables}, str(folder))

    return made


PROJECT = "[tool.flow]\nmax_workers = 2\n"
USER = "max_workers = 3\n[profile.big]\nmax-workers = 4\n"


class TestPrecedence:
    def test_each_beats_the_next(self, make, tmp_path):
        config = f"{tmp_path}/.config/flow/config.toml"
        settings = make(PROJECT, USER, FLOW_MAX_WORKERS="1", FLOW_PROFILE="big")
        settings.override("max_workers", 9, "--max-workers")
        assert settings.lookup("max_workers") == (9, "--max-workers")
        assert settings.overrides() == {"max_workers": 9}
        assert make(PROJECT, USER, FLOW_MAX_WORKERS="1").lookup("max_workers") == (
            1,
            "FLOW_MAX_WORKERS",
        )
        assert make(PROJECT, USER).lookup("max_workers") == (
            2,
            f"[tool.flow] of {tmp_path}/project/pyproject.toml",
        )
        (tmp_path / "project" / "pyproject.toml").unlink()
        assert make(None, USER, FLOW_PROFILE="big").lookup("max_workers") == (
            4,
            f"[profile.big] of {config}",
        )
        assert make(None, USER).lookup("max_workers") == (3, config)
        assert make(None, "").lookup("max_workers")[1] == "default"

    def test_the_nearest_project_counts_alone(self, make, tmp_path):
        (tmp_path / "pyproject.toml").write_text("[tool.flow]\nmax_workers = 7\n")
        assert make("[project]\nname = 'x'\n").lookup("max_workers")[1] == "default"

    def test_the_config_home_of_the_person(self, make, tmp_path):
        (tmp_path / "flow").mkdir()
        (tmp_path / "flow" / "config.toml").write_text("max_workers = 6\n")
        assert make(XDG_CONFIG_HOME=str(tmp_path))["max_workers"] == 6


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("max_workers", "12", 12),
            ("max_log_size", "0.5", 0.5),
            ("debug", "yes", True),
            ("debug", "no", False),
            ("debug", "0", False),
            ("debug", "", False),
            ("debug", "ON", True),
            ("datastore", "s3://b/p", "s3://b/p"),
            ("fork", "never", "never"),
        ],
    )
    def test_texts_of_variables(self, make, name, text, value):
        assert make(**{f"FLOW_{name.upper()}": text})[name] == value

    @pytest.mark.parametrize(
        ("name", "text", "what", "hint"),
        [
            ("max_workers", "many", "must be an integer, not 'many'", "FLOW_MAX_WORKERS="),
            ("max_log_size", "big", "must be a number, not 'big'", "FLOW_MAX_LOG_SIZE=2.5"),
            ("debug", "maybe", "must be true or false, not 'maybe'", "FLOW_DEBUG=true"),
            ("fork", "always", "cannot be 'always'", "one of: auto, never"),
            ("max_workers", "0", "must be at least 1, not '0'", "FLOW_MAX_WORKERS="),
        ],
    )
    def test_bad_ones(self, make, name, text, what, hint):
        variable = f"FLOW_{name.upper()}"
        with pytest.raises(SettingsError) as caught:
            make(**{variable: text})[name]
        assert caught.value.what == f"Setting '{name}' {what}"
        assert caught.value.where == variable
        assert hint in caught.value.hint
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize("value", ["2.7", "true", '"two"'])
    def test_toml_numbers_are_not_cut(self, make, value):
        with pytest.raises(SettingsError, match="must be an integer"):
            make(f"[tool.flow]\nmax_workers = {value}\n")["max_workers"]

    def test_lists_of_toml_become_texts(self, make):
        settings = make('[tool.flow]\nplugins = ["no:a", "mod"]\ncode-suffixes = [".py", ".r"]\n')
        assert settings["plugins"] == "no:a,mod"
        assert settings["code_suffixes"] == ".py,.r"

    def test_lists_and_tables_of_plugins_become_texts(self, make):
        settings = make(
            '[tool.flow]\ncards-lines = ["a, b", "c"]\ncards-labels = {team = "x", big = true}\n'
            'cards-taints = [{key = "spot"}]\ncards-port = [1]\n'
        )
        settings.declare("cards_lines", "", "Lines.", separator="\n")
        settings.declare("cards_labels", "", "Names and values.")
        settings.declare("cards_taints", "", "Tables.")
        settings.declare("cards_port", 80, "Port.")
        assert settings["cards_lines"] == "a, b\nc"
        assert json.loads(settings["cards_labels"]) == {"team": "x", "big": True}
        assert json.loads(settings["cards_taints"]) == [{"key": "spot"}]
        with pytest.raises(SettingsError, match=r"must be an integer, not \[1\]"):
            settings["cards_port"]

    def test_an_unknown_setting(self, make):
        with pytest.raises(SettingsError) as caught:
            make()["max_worker"]
        assert caught.value.what == "There is no setting 'max_worker'"
        assert "'max_workers'" in caught.value.hint

    def test_a_plugins_own(self, make):
        settings = make("[tool.flow]\ncards-mode = 'b'\n")
        settings.declare("cards_mode", "a", "Mode.", choices=("a", "b"))
        assert settings["cards_mode"] == "b"
        assert "cards_mode" in [s.name for s in settings.declared()]

    def test_the_empty_choice_is_no_word_to_type(self, make):
        settings = make(FLOW_CARDS_MODE="c")
        settings.declare("cards_mode", "", "Mode.", choices=("", "a", "b"))
        with pytest.raises(SettingsError) as caught:
            settings["cards_mode"]
        assert caught.value.hint == "one of: a, b"

    def test_a_plugins_smallest_number(self, make):
        settings = make(FLOW_CARDS_PORT="-1")
        settings.declare("cards_port", 80, "Port.", minimum=1)
        with pytest.raises(SettingsError, match="must be at least 1, not '-1'"):
            settings["cards_port"]

    def test_a_secret_is_never_shown(self, make):
        settings = make(FLOW_CARDS_TOKEN="hunter2", FLOW_CARDS_PIN="hunter2")
        settings.declare("cards_token", "", "Token.", secret=True)
        settings.declare("cards_pin", 0, "Pin.", secret=True)
        settings.declare("cards_key", "", "Key.", secret=True)
        assert settings["cards_token"] == "hunter2"
        assert [settings.shown(f"cards_{n}") for n in ("token", "key")] == ["***", ""]
        assert settings.shown("max_log_size") == "10.0"
        with pytest.raises(SettingsError, match="must be an integer") as caught:
            settings["cards_pin"]
        assert "hunter2" not in str(caught.value)


class TestFiles:
    def test_bad_toml(self, make, tmp_path):
        with pytest.raises(SettingsError) as caught:
            make("[tool.flow\n")["debug"]
        assert caught.value.what == "A settings file is not valid TOML"
        assert caught.value.where == f"{tmp_path}/project/pyproject.toml"
        assert caught.value.why

    def test_bytes_that_are_no_text(self, make, tmp_path):
        settings = make(None, "")
        (tmp_path / ".config" / "flow" / "config.toml").write_bytes(b"\xff")
        with pytest.raises(SettingsError, match="not valid TOML"):
            settings["debug"]

    @pytest.mark.parametrize("user", [USER, "", None])
    def test_a_profile_that_is_not_there(self, make, user):
        with pytest.raises(SettingsError) as caught:
            make(None, user, FLOW_PROFILE="bog")["debug"]
        assert caught.value.what == "There is no profile 'bog'"
        assert caught.value.hint in ("did you mean 'big'?", "add [profile.bog] to it")


class TestStateFolder:
    def test_the_nearest_parent_that_has_one(self, tmp_path, monkeypatch):
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        monkeypatch.chdir(below)
        assert state_folder() == str(below / ".flow")
        (tmp_path / ".flow").mkdir()
        assert state_folder() == str(tmp_path / ".flow")

    def test_a_given_place(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "/home/ada")
        assert state_folder("x") == str(tmp_path / "x")
        assert state_folder("~/x") == "/home/ada/x"


class TestPerson:
    def test_the_name(self, make):
        assert make(FLOW_USER="ada", USER="bob").user() == "ada"
        assert make(USER="bob", SUDO_USER="eve").user() == "eve"
        assert make(USER="bob").user() == "bob"
        assert make().user()

    def test_colours(self, make):
        assert make(NO_COLOR="1").no_color()
        assert not make(NO_COLOR="").no_color()


def test_a_mistyped_name_in_a_file(make):
    with pytest.raises(SettingsError) as caught:
        make("[tool.flow]\nmax-worker = 4\n").check_names()
    assert caught.value.what == "There is no setting 'max_worker'"
    assert caught.value.hint == "did you mean 'max_workers'?"


def test_a_name_that_resembles_none_may_be_a_plugins(make):
    make("[tool.flow]\nzebra = 4\n").check_names()


class TestShown:
    def test_values_as_they_are_written(self):
        settings = Settings({"FLOW_QUIET": "yes"}, "/")
        assert settings.shown("quiet") == "true"
        assert settings.shown("failure_grace") == "5.0"

    def test_secrets_are_not_shown(self):
        settings = Settings({"FLOW_MINE_TOKEN": "hush"}, "/")
        settings.declare("mine_token", "", "A token.", secret=True)
        settings.declare("mine_other", "", "Another.", secret=True)
        assert settings.shown("mine_token") == "***"
        assert settings.shown("mine_other") == ""

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("s3://key:hush@host/x", "s3://key:***@host/x"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
            ("local", "local"),
        ],
    )
    def test_passwords_in_urls_are_not_shown(self, value, shown):
        assert Settings({"FLOW_DATASTORE": value}, "/").shown("datastore") == shown
