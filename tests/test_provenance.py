"""The fingerprint covers what a run's numbers come from, and the floors of the house hold."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from cqlbench import provenance

# A module imports only from floors before its own; modules of one floor may know each other, in no circle.
FLOORS = [
    ["errors", "stopwatch", "writers"],
    ["tasks", "seeding", "environments", "cells"],
    ["datasets", "networks", "losses"],
    ["algorithms"],
    ["runs", "normalisation", "provenance", "records"],
    ["training", "simulation", "evaluation", "diagnostics"],
    ["checkpoints", "event_files", "execution", "supervision", "suites", "trained"],
    ["accounting", "costs", "scores", "taken", "standing"],
    ["style", "published", "statistics", "comparison", "calibration", "comparison_suites", "score_files"],
    ["claims", "figures"],
    ["report", "conformance", "contract", "bench", "theory", "estimates"],
    ["inspection"],
    ["cli"],
]
# What may be imported where: the only importer of each.
ONLY = {"rliable": "statistics", "minari": "datasets", "h5py": "datasets", "d3rlpy": "algorithms"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(provenance.PACKAGE).parts[0].removesuffix(".py")


def test_imports_only_point_down():
    height = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    for path in provenance.PACKAGE.rglob("*.py"):
        own = room(path)
        if own in ("__init__", "__main__"):
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "cqlbench" and len(parts) > 1 and parts[1] in height:
                assert height[parts[1]] <= height[own], f"{path} imports {name}"


def test_rooms_do_not_import_each_other_in_circles():
    below: dict[str, set[str]] = {}
    for path in provenance.PACKAGE.rglob("*.py"):
        parts = (name.split(".") for name in imports(path))
        used = {name[1] for name in parts if name[0] == "cqlbench" and len(name) > 1}
        below.setdefault(room(path), set()).update(used - {room(path)})
    # Raises CycleError with the circle.
    TopologicalSorter(below).prepare()


def test_each_heavy_package_has_one_importer():
    for path in provenance.PACKAGE.rglob("*.py"):
        for name in imports(path):
            package = name.split(".")[0]
            assert ONLY.get(package, room(path)) == room(path), f"{path} imports {name}"


def test_the_fingerprint_sees_the_training_code_only(tmp_path, monkeypatch):
    for name in provenance.TRAINING_CODE:
        source = provenance.PACKAGE / name
        for file in [source] if source.is_file() else source.rglob("*.py"):
            copy = tmp_path / file.relative_to(provenance.PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    original = provenance.code_fingerprint()
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert provenance.code_fingerprint() == original
    (tmp_path / "statistics.py").write_text("# a statistic changes no run")
    assert provenance.code_fingerprint() == original
    losses = (tmp_path / "losses.py").read_text()
    (tmp_path / "losses.py").write_text(
        losses.replace('"""Every loss', '"""All losses') + "# nothing a run could see\n"
    )
    assert provenance.code_fingerprint() == original
    (tmp_path / "losses.py").write_text(losses.replace("1 - terminals", "2 - terminals"))
    assert provenance.code_fingerprint() != original
