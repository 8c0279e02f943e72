"""From a suite, a method and those it is compared with to a suite of just these: what `cqlbench compare` trains."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import yaml

from cqlbench import runs
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.datasets.store import stored_metadata
from cqlbench.errors import UserError
from cqlbench.suites import Suite, load_suite
from cqlbench.writers import write_text

SUITE_FILE = "suite.yaml"


def family_of(algorithm: str) -> str:
    """What a comparison calls the method: the class of `my_method.py:MyMethod`, else the known name."""
    return algorithm.rpartition(":")[2]


def write_comparison_suite(
    base: Path, algorithm: str, settings: dict[str, Any], references: list[str], results: Path
) -> Path:
    """Writes <results>/suites/<name>/suite.yaml and returns it; an equal file is left as it is.

    It selects the datasets, seeds and budget of the suite file `base`, of its methods the `references` with their
    headline settings, so that their runs are those of `base`, and `algorithm` with the common settings of `base` and
    `settings` over them. Raises UserError for a reference that `base` does not have and for settings not allowed.
    """
    suite, family = load_suite(base), family_of(algorithm)
    headline = {method.family: method for method in suite.methods if method.headline}
    for reference in references:
        if reference not in headline:
            raise UserError(f"--against {reference}: not in suite {suite.name}, which has {', '.join(headline)}.")
        if reference == family:
            raise UserError(f"--against {reference}: a method cannot be compared with itself; give one another name.")
    config = find_algorithm(algorithm).config
    content = yaml.safe_load(base.read_text(encoding="utf-8"))
    # A swept common setting has a headline value, or `base` would have been refused.
    common = {
        key: content["headline"][key] if isinstance(value, list) else value
        for key, value in content.get("common", {}).items()
        if key in config.__dataclass_fields__
    }
    try:
        own = config.resolve(common | settings)
    except UserError as error:
        raise UserError(f"{family}: {error}") from error
    name = re.sub("[^a-z0-9]+", "-", f"{family} vs {' '.join(references)} on {suite.name}".lower())
    known = {key: {"algorithm": shown.algorithm, **shown.config.changed()} for key, shown in headline.items()}
    document = {
        "name": name,
        "title": f"{family} against {', '.join(references)} on {suite.name}",
        "note": f"Written by cqlbench compare from {base.name}. {suite.note}".strip(),
        "datasets": list(suite.datasets),
        "seeds": list(suite.seeds),
        "protocol": dataclasses.asdict(suite.protocol),
        "methods": {key: known[key] for key in references} | {family: {"algorithm": algorithm, **own.changed()}},
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    path = results / "suites" / name / SUITE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another time of change would make the report anew.
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def refuse_other_data(suite: Suite, results: Path) -> None:
    """Raises UserError where a run that is there was trained on another content than the dataset now has.

    Another budget, protocol or setting is another run, in a folder of its own: it is never taken for this one.
    """
    for dataset in suite.datasets:
        stored = stored_metadata(dataset, results / "datasets")
        for run in (run for _, run in suite.runs() if run.dataset == dataset):
            path = run.folder(results) / runs.PROVENANCE
            if not stored or not path.is_file():
                continue
            content = json.loads(path.read_text())["dataset"]["content_hash"]
            if content != stored["content_hash"]:
                raise UserError(
                    f"{path.parent} was trained on another content of {dataset} ({content[:12]}, now "
                    f"{stored['content_hash'][:12]}), so it cannot be compared with. Train it again: cqlbench retry "
                    f"{results / 'suites' / suite.name / SUITE_FILE} --retrain-stale"
                )
