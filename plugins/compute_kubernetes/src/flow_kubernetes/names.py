"""Names and labels that Kubernetes accepts, made of any text."""

from __future__ import annotations

import hashlib
import re

from flow_kubernetes.checks import OWN_PREFIX

FLOW, RUN, STEP, TASK, ATTEMPT, USER, STORE = (
    f"{OWN_PREFIX}/{name}" for name in ("flow", "run", "step", "task", "attempt", "user", "store")
)
"""The labels of jobs and pods. Where a text is no valid label, the annotation of the same name has it
in full."""

NAME = f"{OWN_PREFIX}/job"
"""The label with the name of the Job, by which its pods are found."""

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LONGEST_LABEL = 63
_DIGITS = 8


def label(text: str) -> str:
    """Return ``text`` as the value of a label: itself where it is one, else what is left of it and a
    hash, so that two texts never have one label."""
    if not text or _LABEL.fullmatch(text):
        return text
    left = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[: _LONGEST_LABEL - _DIGITS - 1]
    return f"{left.strip('-')}-{digest(text)}".lstrip("-")


def digest(text: str) -> str:
    """Return a short name of ``text``: letters and digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def trial_name(flow: str, step: str) -> str:
    """Return a `Job.name` for a job of a step that is no attempt."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{flow}-{step}".lower()).strip("-")
    return f"{words[:20].strip('-') or 'flow'}-trial-{digest(f'{flow}/{step}')}"
