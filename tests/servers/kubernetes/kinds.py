"""The kinds of objects that the server knows: one table, read by all other modules."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of objects.

    Attributes:
        name: in the singular, such as ``Pod``.
        plural: as in paths: ``pods``.
        model: the class of the official client with its fields.
        group: ``""`` = the core group.
        version: of the group.
        namespaced: whether its objects lie in namespaces.
        short: names that kubectl takes instead.
        sub: its subresources.
        categories: such as ``all``, for ``kubectl get all``.
    """

    name: str
    plural: str
    model: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    sub: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """Name in sentences: ``pods``, ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``v1``, ``batch/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """Of its paths: ``/api/v1``, ``/apis/batch/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


POD = Kind(
    "Pod",
    "pods",
    "V1Pod",
    short=("po",),
    sub=("status", "log", "eviction"),
    categories=("all",),
)
JOB = Kind("Job", "jobs", "V1Job", "batch", sub=("status",), categories=("all",))
NODE = Kind("Node", "nodes", "V1Node", namespaced=False, short=("no",), sub=("status",))
NAMESPACE = Kind(
    "Namespace",
    "namespaces",
    "V1Namespace",
    namespaced=False,
    short=("ns",),
    sub=("status", "finalize"),
)
CONFIG_MAP = Kind("ConfigMap", "configmaps", "V1ConfigMap", short=("cm",))
SECRET = Kind("Secret", "secrets", "V1Secret")
SERVICE = Kind(
    "Service", "services", "V1Service", short=("svc",), sub=("status",), categories=("all",)
)
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts", "V1ServiceAccount", short=("sa",))
EVENT = Kind("Event", "events", "CoreV1Event", short=("ev",))
QUOTA = Kind(
    "ResourceQuota", "resourcequotas", "V1ResourceQuota", short=("quota",), sub=("status",)
)
CLAIM = Kind(
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "V1PersistentVolumeClaim",
    short=("pvc",),
    sub=("status",),
)
PRIORITY_CLASS = Kind(
    "PriorityClass",
    "priorityclasses",
    "V1PriorityClass",
    "scheduling.k8s.io",
    namespaced=False,
    short=("pc",),
)
ROLE = Kind("Role", "roles", "V1Role", "rbac.authorization.k8s.io")
ROLE_BINDING = Kind("RoleBinding", "rolebindings", "V1RoleBinding", "rbac.authorization.k8s.io")
KINDS = (
    POD,
    JOB,
    NODE,
    NAMESPACE,
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    EVENT,
    QUOTA,
    CLAIM,
    PRIORITY_CLASS,
    ROLE,
    ROLE_BINDING,
)

BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}

VERBS_OF_SUBRESOURCES = {
    "status": ("get", "patch", "update"),
    "finalize": ("update",),
    "log": ("get",),
    "eviction": ("create",),
}
