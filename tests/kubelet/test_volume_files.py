"""What ends up on disk: the atomic writer, sub-paths, host paths."""

import os
import stat
from pathlib import Path

import pytest
from kubelet_objects import container, pod

from kapi.api.object import Object
from kapi.kubelet.volumes.atomic_writer import InvalidPath, ProjectedFile, write_payload
from kapi.kubelet.volumes.host_path import prepare_host_path
from kapi.kubelet.volumes.payloads import PayloadSources, VolumeFailure, volume_payload
from kapi.kubelet.volumes.pod_volumes import used_volumes
from kapi.kubelet.volumes.subpaths import SubPathEscapes, make_sub_path


def files(**content: str) -> dict[str, ProjectedFile]:
    return {
        name.replace("__", "/"): ProjectedFile(text.encode(), 0o644)
        for name, text in content.items()
    }


def seen(directory: Path) -> dict[str, str]:
    """What a container would see, dot files of the writer aside."""
    return {
        str(found.relative_to(directory)): found.read_text()
        for name in sorted(directory.iterdir())
        if not name.name.startswith("..")
        for found in ([name] if name.is_file() else sorted(name.rglob("*")))
        if found.is_file()
    }


def test_files_appear_behind_links(tmp_path: Path) -> None:
    assert write_payload(tmp_path, files(a="1", sub__b="2"))
    assert seen(tmp_path) == {"a": "1", "sub/b": "2"}
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "sub") == "..data/sub"
    assert os.readlink(tmp_path / "..data").startswith("..20")


def test_an_update_replaces_everything_at_once(tmp_path: Path) -> None:
    write_payload(tmp_path, files(a="1", gone="x", sub__b="2"))
    old = os.readlink(tmp_path / "..data")
    with (tmp_path / "a").open() as reader:
        assert write_payload(tmp_path, files(a="new", sub__c="3"))
        assert reader.read() == "1"
    assert seen(tmp_path) == {"a": "new", "sub/c": "3"}
    assert not (tmp_path / old).exists()
    assert sorted(name.name for name in tmp_path.iterdir() if name.name.startswith("..")) == [
        "..data" if name == "..data" else name
        for name in sorted(["..data", os.readlink(tmp_path / "..data")])
    ]


def test_the_same_content_is_left_alone(tmp_path: Path) -> None:
    write_payload(tmp_path, files(a="1"))
    before = os.readlink(tmp_path / "..data")
    assert not write_payload(tmp_path, files(a="1"))
    assert os.readlink(tmp_path / "..data") == before


def test_an_empty_payload_is_a_volume_too(tmp_path: Path) -> None:
    assert write_payload(tmp_path, {})
    assert seen(tmp_path) == {}
    assert write_payload(tmp_path, files(a="1"))
    assert write_payload(tmp_path, {})
    assert seen(tmp_path) == {}


@pytest.mark.parametrize("path", ["", "/abs", "../up", "a/../b", "..hidden", "x" * 256])
def test_paths_that_would_leave_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidPath):
        write_payload(tmp_path, {path: ProjectedFile(b"", 0o644)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_group_may_read_what_was_closed(tmp_path: Path) -> None:
    payload = {
        "open": ProjectedFile(b"", 0o644),
        "closed": ProjectedFile(b"", 0o400),
        "own": ProjectedFile(b"", 0o600),
    }
    write_payload(tmp_path, payload, group=4321)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in payload}
    assert modes == {"open": 0o644, "closed": 0o440, "own": 0o640}
    assert (tmp_path / "closed").stat().st_gid == 4321


def sources(**objects: Object) -> PayloadSources:
    return PayloadSources(
        find=lambda kind, name: objects.get(f"{kind}_{name}"),
        token=lambda source: "jwt",
        allocatable={},
    )


def texts(volume: Object, given: PayloadSources) -> dict[str, tuple[str, int]]:
    payload = volume_payload(pod(metadata={"labels": {"a": "b"}}), volume, given)
    return {path: (file.data.decode(), file.mode) for path, file in payload.items()}


def test_a_config_map_shows_text_and_bytes() -> None:
    given = sources(ConfigMap_c={"data": {"a": "1", "b": "2"}, "binaryData": {"z": "eA=="}})
    volume = {"name": "v", "configMap": {"name": "c", "defaultMode": 0o400}}
    assert texts(volume, given) == {"a": ("1", 0o400), "b": ("2", 0o400), "z": ("x", 0o400)}
    volume["configMap"] = {"name": "c", "items": [{"key": "a", "path": "d/e", "mode": 0o600}]}
    assert texts(volume, given) == {"d/e": ("1", 0o600)}


def test_missing_things_are_told_or_tolerated() -> None:
    with pytest.raises(VolumeFailure, match='secret "s" not found'):
        texts({"name": "v", "secret": {"secretName": "s"}}, sources())
    assert texts({"name": "v", "secret": {"secretName": "s", "optional": True}}, sources()) == {}
    volume = {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "k"}]}}
    with pytest.raises(VolumeFailure, match="references non-existent config key: k"):
        texts(volume, sources(ConfigMap_c={}))


def test_projected_sources_are_laid_over_each_other() -> None:
    volume = {
        "name": "v",
        "projected": {
            "defaultMode": 0o640,
            "sources": [
                {"configMap": {"name": "c"}},
                {"secret": {"name": "s"}},
                {"serviceAccountToken": {"path": "token"}},
                {"downwardAPI": {"items": [
                    {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
        },
    }  # fmt: skip
    given = sources(ConfigMap_c={"data": {"x": "1", "y": "2"}}, Secret_s={"data": {"y": "eg=="}})
    assert texts(volume, given) == {
        "x": ("1", 0o640),
        "y": ("z", 0o640),
        "token": ("jwt", 0o640),
        "l": ('a="b"', 0o640),
    }


def test_only_mounted_volumes_count() -> None:
    spec = pod(
        container(volumeMounts=[{"name": "a", "mountPath": "/a"}]),
        volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "no"}}],
    )
    assert [volume["name"] for volume in used_volumes(spec)] == ["a"]


def test_host_path_types(tmp_path: Path) -> None:
    for kind in ("Directory", "File", "Socket", "CharDevice", "BlockDevice"):
        with pytest.raises(VolumeFailure, match="hostPath type check failed"):
            prepare_host_path(str(tmp_path / "none"), kind)
    prepare_host_path(str(tmp_path / "made/deep"), "DirectoryOrCreate")
    assert (tmp_path / "made/deep").is_dir()
    prepare_host_path(str(tmp_path / "file"), "FileOrCreate")
    prepare_host_path(str(tmp_path / "file"), "File")
    with pytest.raises(VolumeFailure, match="is not a directory"):
        prepare_host_path(str(tmp_path / "file"), "Directory")
    prepare_host_path("/dev/null", "CharDevice")


def test_sub_paths_do_not_follow_links_out(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir(mode=0o777)
    outside.mkdir()
    make_sub_path(volume, "a/b")
    assert (volume / "a/b").is_dir()
    (volume / "trap").symlink_to(outside)
    with pytest.raises(SubPathEscapes):
        make_sub_path(volume, "trap/new")
    assert not list(outside.iterdir())
