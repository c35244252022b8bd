"""How objects come to be, change and go: admission, defaults, checks, versions, finalizers.

Clients come here through `api`, the controllers directly, so that both meet the same rules.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from servers.kubernetes import admission, defaults, rules
from servers.kubernetes.clock import timestamp
from servers.kubernetes.errors import (
    already_exists,
    bad_request,
    conflict,
    invalid_object,
    not_found,
    required,
)
from servers.kubernetes.kinds import CONFIG_MAP, JOB, NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from servers.kubernetes.schema import Checked, check
from servers.kubernetes.store import Entry, Object, Store, changed

_SERVERS_OWN = (
    *("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"),
    *("deletionGracePeriodSeconds", "selfLink", "managedFields"),
)
"""Metadata that clients cannot set."""

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"


class Registry:
    """The way to all objects.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        """Return an object.

        Raises:
            Refusal: 404.
        """
        entry = self.store.find(kind, namespace, name)
        if entry is None:
            raise not_found(kind, name)
        return entry

    def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Entry:
        """Store a new object.

        Args:
            kind: of it.
            namespace: where; ``""`` for those that are in none.
            body: what the client, or a controller, has sent.
            dry_run: do all but store it.

        Raises:
            Refusal: as a real server words it.
        """
        checked = check(kind, body)
        content = self._named(kind, namespace, checked.content)
        admission.check_namespace(self.store, kind, namespace, content["metadata"]["name"])
        content = admission.complete(self.store, kind, content)
        content = defaults.fill_in(kind, content)
        uid = str(uuid.uuid4())
        if kind is JOB:
            content = _with_selector(content, uid)
        self._validate(kind, content, checked)
        name = content["metadata"]["name"]
        if self.store.find(kind, namespace, name):
            raise already_exists(kind, name)
        admission.check_quota(self.store, kind, content)
        if dry_run:
            return Entry(kind, content, 0)
        if "spec" in content and kind is not NAMESPACE:
            content = changed(content, 1, "metadata", "generation")
        entry = self.store.add(kind, content, uid)
        if kind is NAMESPACE:
            self._furnish(name)
        return entry

    def replace(
        self, before: Entry, body: Object, *, sub: str = "", dry_run: bool = False
    ) -> Entry:
        """Store a new version of an object.

        Args:
            before: the present one.
            body: the new one, as a whole.
            sub: ``status`` = take its status, and nothing else; else all but its status.
            dry_run: do all but store it.

        Raises:
            Refusal: as a real server words it; 409 when ``body`` is made from another version.
        """
        kind, old = before.kind, before.object
        checked = check(kind, body)
        sent = checked.content.get("metadata", {})
        self.check_identity(before, sent)
        if sub == "status":
            content = changed(old, checked.content.get("status") or {}, "status")
        else:
            content = defaults.fill_in(kind, {**checked.content, "metadata": old["metadata"]})
            content = {**content, "metadata": _metadata(old, sent)}
            if "status" in old:
                content["status"] = old["status"]
            if kind is NAMESPACE:
                content["spec"] = old["spec"]
            self._validate(kind, content, checked, before)
            if "spec" in content and content["spec"] != old.get("spec"):
                generation = old["metadata"].get("generation", 1) + 1
                content = changed(content, generation, "metadata", "generation")
        if dry_run:
            return Entry(kind, content, before.version)
        return self.put(before, content)

    def put(self, before: Entry, content: Object) -> Entry:
        """Store a new version that needs no check; one that may go now, goes."""
        entry = self.store.replace(before, content)
        return self._remove_if_free(entry)

    def put_status(self, before: Entry, **status: Any) -> Entry:
        """Store a new version with these fields of its status changed; None removes one."""
        fields = {**before.object.get("status", {}), **status}
        fields = {key: value for key, value in fields.items() if value is not None}
        return self.put(before, {**before.object, "status": fields})

    def delete(
        self, entry: Entry, grace: float | None = None, propagation: str = ""
    ) -> tuple[Entry, bool]:
        """Begin to delete an object, or delete it.

        Args:
            entry: the object.
            grace: seconds for a pod to end; None = as the pod says.
            propagation: what becomes of the objects that it owns: ``Background``, ``Foreground``,
                ``Orphan``; ``""`` = as usual: Orphan for jobs, Background for all others.

        Returns:
            Its last version, and whether it is gone.
        """
        propagation = propagation or ("Orphan" if entry.kind is JOB else "Background")
        finalizers = [*entry.object["metadata"].get("finalizers", ())]
        for mark, wanted in ((_FOREGROUND, "Foreground"), (_ORPHAN, "Orphan")):
            if propagation == wanted and mark not in finalizers and self.store.owned(entry.uid):
                finalizers.append(mark)
        seconds = self._grace(entry, grace)
        if entry.kind is NAMESPACE:
            entry = self.put_status(entry, phase="Terminating")
            finalizers, seconds = [], 0
        if seconds > 0 or finalizers or entry.kind is NAMESPACE:
            return self._mark(entry, finalizers, seconds)
        return self.store.remove(entry), True

    def _mark(self, entry: Entry, finalizers: list[str], seconds: float) -> tuple[Entry, bool]:
        metadata = dict(entry.object["metadata"])
        known = metadata.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" not in metadata or (known is not None and seconds < known):
            metadata["deletionTimestamp"] = timestamp(time.time() + seconds)
            metadata["deletionGracePeriodSeconds"] = int(seconds)
        if finalizers:
            metadata["finalizers"] = finalizers
        entry = self.store.replace(entry, {**entry.object, "metadata": metadata})
        after = self._remove_if_free(entry)
        return after, self.store.find(entry.kind, entry.namespace, entry.name) is None

    def _grace(self, entry: Entry, asked: float | None) -> float:
        """Return the seconds that a pod has to end."""
        if entry.kind is not POD:
            return 0
        pod = entry.object
        ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        if not pod["spec"].get("nodeName") or ended:
            return 0
        if asked is None:
            asked = pod["spec"].get("terminationGracePeriodSeconds", 30)
        return float(asked)

    def _remove_if_free(self, entry: Entry) -> Entry:
        """Remove an object that is to be deleted and that nothing holds any more."""
        metadata = entry.object["metadata"]
        if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
            return entry
        if metadata.get("deletionGracePeriodSeconds", 0) > 0:
            return entry  # the kubelet comes back when its processes have ended
        if entry.kind is NAMESPACE and entry.object["spec"].get("finalizers"):
            return entry
        return self.store.remove(entry)

    def _named(self, kind: Kind, namespace: str, content: Object) -> Object:
        """Return a new object with what its metadata must have, and nothing that it cannot have."""
        sent = content.get("metadata", {})
        metadata = {key: value for key, value in sent.items() if key not in _SERVERS_OWN}
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:58] + defaults.suffix()
        if not metadata.get("name"):
            causes = [required("metadata.name", "name or generateName is required")]
            raise invalid_object(kind, "", causes)
        if sent.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if kind.namespaced:
            if metadata.get("namespace", namespace) != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the "
                    "request"
                )
            metadata["namespace"] = namespace
        apart = ("kind", "apiVersion", "metadata")
        return {"metadata": metadata} | {k: v for k, v in content.items() if k not in apart}

    def check_identity(self, before: Entry, sent: Object) -> None:
        """Refuse a new version that is of another object, or made from another version."""
        kind, name = before.kind, before.name
        if sent.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({sent['name']}) does not match the name on the URL ({name})"
            )
        version = sent.get("resourceVersion")
        if version and version != before.object["metadata"]["resourceVersion"]:
            raise conflict(kind, name)
        if sent.get("uid", before.uid) != before.uid:
            why = (
                f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: "
                f"{before.uid}"
            )
            raise conflict(kind, name, why)

    def _validate(
        self, kind: Kind, content: Object, checked: Checked, before: Entry | None = None
    ) -> None:
        if before is None:
            causes = rules.wrong(kind, content)
        else:
            causes = rules.wrong_change(kind, before.object, content)
        told = {cause.field for cause in causes}
        causes += [cause for cause in checked.missing if cause.field not in told]
        if causes:
            raise invalid_object(kind, content["metadata"]["name"], causes)

    def _furnish(self, namespace: str) -> None:
        """Put into a new namespace what every namespace has."""
        self.create(SERVICE_ACCOUNT, namespace, {"metadata": {"name": "default"}})
        certificate = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}}
        self.create(CONFIG_MAP, namespace, certificate)


def _with_selector(job: Object, uid: str) -> Object:
    """Return a new job with the labels by which its pods are known."""
    spec, name = job["spec"], job["metadata"]["name"]
    if spec.get("manualSelector"):
        return job
    own = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    labels = {**spec["template"]["metadata"].get("labels", {}), **own}
    spec = changed(spec, labels, "template", "metadata", "labels")
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    return {**job, "spec": {**spec, "selector": selector}}


def _metadata(old: Object, sent: Object) -> Object:
    """Return the metadata of a new version: what clients cannot set stays."""
    kept = {key: value for key, value in sent.items() if key not in _SERVERS_OWN}
    own = {key: old["metadata"][key] for key in _SERVERS_OWN if key in old["metadata"]}
    same = {key: old["metadata"][key] for key in ("name", "namespace") if key in old["metadata"]}
    return {**kept, **same, **own}
