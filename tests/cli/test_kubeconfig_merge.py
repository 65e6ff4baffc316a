"""kapi's context joins a person's kubeconfig without touching what is theirs."""

from pathlib import Path

import pytest
import yaml

from kapi.auth.pki import ADMIN, ClusterPki
from kapi.cli import kubeconfig_file
from kapi.cli.errors import CliError
from kapi.cli.kubeconfig_file import Access
from kapi.client.kubeconfig import load_kubeconfig


@pytest.fixture
def addition(tmp_path: Path) -> dict[str, object]:
    pki = ClusterPki(tmp_path / "pki")
    access = Access("https://127.0.0.1:6443", pki.ensure_authority().cert_pem, pki.ensure(ADMIN))
    return kubeconfig_file.document(access)


def test_a_new_file_can_be_used_and_is_private(tmp_path: Path, addition: dict[str, object]) -> None:
    path = tmp_path / "deep" / "config"
    kubeconfig_file.merge(path, addition)
    assert path.stat().st_mode & 0o777 == 0o600
    config = load_kubeconfig(path)
    assert config.server == "https://127.0.0.1:6443"
    assert "BEGIN CERTIFICATE" in config.client_cert_pem


def test_other_entries_stay(tmp_path: Path, addition: dict[str, object]) -> None:
    path = tmp_path / "config"
    other = {
        "clusters": [{"name": "other", "cluster": {"server": "https://x"}}],
        "users": [{"name": "kapi", "user": {"token": "old"}}],
        "contexts": [{"name": "other", "context": {"cluster": "other", "user": "u"}}],
        "current-context": "other",
        "extensions": [{"name": "mine"}],
    }
    path.write_text(yaml.safe_dump(other))
    kubeconfig_file.merge(path, addition)
    kubeconfig_file.merge(path, addition)
    merged = yaml.safe_load(path.read_text())
    assert [entry["name"] for entry in merged["clusters"]] == ["other", "kapi"]
    assert [entry["name"] for entry in merged["users"]] == ["kapi"]
    assert "token" not in merged["users"][0]["user"]
    assert merged["current-context"] == "kapi"
    assert merged["extensions"] == [{"name": "mine"}]
    source = tmp_path / "own"
    kubeconfig_file.write(source, addition)
    kubeconfig_file.remove_context(path, source)
    left = yaml.safe_load(path.read_text())
    assert [entry["name"] for entry in left["clusters"]] == ["other"]
    assert left["current-context"] == ""


@pytest.mark.parametrize("text", ["{", "- a\n- b\n", "\x00"])
def test_a_file_that_cannot_be_read_is_left_alone(
    tmp_path: Path, addition: dict[str, object], text: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CliError, match="left as it is"):
        kubeconfig_file.merge(path, addition)
    assert path.read_text() == text


def test_the_file_kubectl_would_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    assert kubeconfig_file.user_kubeconfig() == second
    first.touch()
    assert kubeconfig_file.user_kubeconfig() == first
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kubeconfig_file.user_kubeconfig() == tmp_path / ".kube" / "config"
