"""The volumes of a pod, as folders and files of this machine."""

from __future__ import annotations

from pathlib import Path

from servers.kubernetes.environment import data_of, field_of
from servers.kubernetes.kinds import CLAIM, CONFIG_MAP, SECRET, Kind
from servers.kubernetes.runtime import Mount
from servers.kubernetes.store import Entry, Object, Store


class MountError(Exception):
    """A volume cannot be made yet, since something that it is made from is not there."""


def prepare_volumes(store: Store, pod: Entry, folder: Path, claims: Path) -> None:
    """Make the volumes of a pod, each at ``volumes/<name>`` in its folder.

    Args:
        store: with what they are made from.
        pod: whose they are.
        folder: of the pod.
        claims: folder of what its namespace claims, which stays.

    Raises:
        MountError: something that is not optional is missing.
    """
    for volume in pod.object["spec"].get("volumes", ()):
        place = folder / "volumes" / volume["name"]
        place.parent.mkdir(parents=True, exist_ok=True)
        if "hostPath" in volume:
            _link(place, Path(volume["hostPath"]["path"]))
        elif "persistentVolumeClaim" in volume:
            name = volume["persistentVolumeClaim"]["claimName"]
            if store.find(CLAIM, pod.namespace, name) is None:
                raise MountError(f'persistentvolumeclaim "{name}" not found')
            lasting = claims / name
            lasting.mkdir(parents=True, exist_ok=True)
            _link(place, lasting)
        else:
            place.mkdir(exist_ok=True)
            place.chmod(0o777)  # as kubelets do: the users of containers are many
            for path, data in _files(store, pod, volume).items():
                file = place / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)


def mounts_of(container: Object, folder: Path) -> tuple[Mount, ...]:
    """Return what is mounted in a container."""
    return tuple(
        Mount(
            folder / "volumes" / mount["name"] / mount.get("subPath", ""),
            mount["mountPath"],
            bool(mount.get("readOnly")),
        )
        for mount in container.get("volumeMounts", ())
    )


def _link(place: Path, target: Path) -> None:
    if not place.is_symlink():
        place.symlink_to(target)


def _files(store: Store, pod: Entry, volume: Object) -> dict[str, bytes]:
    """Return the files of a volume by their paths."""
    found: dict[str, bytes] = {}
    for source in volume.get("projected", {}).get("sources", (volume,)):
        if "secret" in source:  # a volume of its own names it in another way than one of many
            name = source["secret"].get("secretName") or source["secret"].get("name", "")
            found |= _data(store, pod, SECRET, name, source["secret"], volume["name"])
        if "configMap" in source:
            name = source["configMap"].get("name", "")
            found |= _data(store, pod, CONFIG_MAP, name, source["configMap"], volume["name"])
        if "downwardAPI" in source:
            found |= _fields(pod, source["downwardAPI"].get("items", ()))
        if "serviceAccountToken" in source:
            found[source["serviceAccountToken"].get("path", "token")] = (
                b"a-token-of-the-test-server"
            )
    return found


def _data(
    store: Store, pod: Entry, kind: Kind, name: str, source: Object, volume: str
) -> dict[str, bytes]:
    data = data_of(store, kind, pod.namespace, name)
    word = kind.name.lower()
    if data is None:
        if source.get("optional"):
            return {}
        raise MountError(
            f'MountVolume.SetUp failed for volume "{volume}" : {word} "{name}" not found'
        )
    if "items" not in source:
        return data
    found = {}
    for item in source["items"]:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            why = f"references non-existent {word} key: {item['key']}"
            raise MountError(f'MountVolume.SetUp failed for volume "{volume}" : {why}')
        found[item["path"]] = data[item["key"]]
    return found


def _fields(pod: Entry, items: list[Object]) -> dict[str, bytes]:
    return {
        item["path"]: field_of(pod, item["fieldRef"]["fieldPath"]).encode()
        for item in items
        if "fieldRef" in item
    }
