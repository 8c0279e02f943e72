"""Where a run comes from: the code, the packages, the dataset, the machine."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import cqlbench
from cqlbench.datasets import OfflineDataset

PACKAGE = Path(cqlbench.__file__).parent
# What a run's numbers can depend on. Everything else (suites, statistics, figures, report) only reads runs.
TRAINING_CODE = (
    "tasks.py",
    "runs.py",
    "environments/linear_quadratic.py",
    "datasets/collect.py",
    "datasets/mapped.py",
    "datasets/offline.py",
    "datasets/store.py",
    "seeding.py",
    "losses.py",
    "normalisation.py",
    "training.py",
    "simulation.py",
    "evaluation.py",
    "diagnostics.py",
    "execution.py",
    "algorithms",
    "networks",
)
PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari", "d3rlpy")


def code_fingerprint() -> str:
    """Twelve hex digits over the training code, comments and docstrings aside: runs with different ones may differ."""
    files = [
        file
        for name in TRAINING_CODE
        for file in ([PACKAGE / name] if name.endswith(".py") else sorted((PACKAGE / name).rglob("*.py")))
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(PACKAGE)}\0{_bare_source(file)}\0".encode())
    return digest.hexdigest()[:12]


def _bare_source(file: Path) -> str:
    """What of a module can change a result."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def code_version() -> str:
    """The package's version, with the git commit (and `dirty`) where it runs from a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return cqlbench.__version__
    return f"{cqlbench.__version__}+{described}"


def describe_provenance(dataset: OfflineDataset) -> dict[str, Any]:
    """What `provenance.json` holds: nothing in it changes between two runs of the same code on the same data."""
    return {
        "code_version": code_version(),
        "code_fingerprint": code_fingerprint(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "dataset": {
            "id": dataset.id,
            "content_hash": dataset.content_hash,
            "expected_hash": dataset.expected_hash,
            "warning": dataset.warning,
            "ref_min": dataset.reference_random,
            "ref_max": dataset.reference_expert,
            # Of our own data the id says it.
            **({"task": dataclasses.asdict(dataset.task)} if ":" in dataset.id else {}),
        },
    }


def describe_machine() -> dict[str, Any]:
    """CPU name, cores and threads used, for `timing.json`."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the platform's own word has to do
    return {"cpu": name, "cores": psutil.cpu_count(), "threads": torch.get_num_threads()}
