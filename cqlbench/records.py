"""What the JSON files of a run folder say. A folder may come from anybody: what no run writes is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from types import NoneType
from typing import Any

from cqlbench import runs
from cqlbench.errors import UserError

STATUSES = (*runs.RESULTS_OF_TRAINING, runs.FAILED, runs.TIMED_OUT, runs.OUT_OF_MEMORY)
_TEXT, _NUMBER = (str, NoneType), (int, float)
# What a key holds, where it is there at all. Data of one's own need no references.
_DATASET = {"content_hash": _TEXT, "ref_min": (*_NUMBER, NoneType), "ref_max": (*_NUMBER, NoneType), "warning": _TEXT}
_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    runs.STATUS: {"reason": _TEXT, "update": (int, NoneType)},
    runs.CONFIG: {"algorithm": (str,), "settings": (dict,), "protocol": (dict,)},
    runs.PROVENANCE: {"code_version": _TEXT, "code_fingerprint": _TEXT, "packages": (dict,), "dataset": (dict,)},
    runs.TIMING: {"updates_per_second": _NUMBER, "peak_memory_mb": _NUMBER, "cpu": (str,)},
}


def read_record(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run folder; empty where the run did not come so far as to write it, or where it is
    being taken away.

    Raises UserError where it is not JSON, or not what a run writes into a file of this name.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    # Cut, not UTF-8, a number of 5,000 digits; brackets without end.
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"is not JSON ({str(error)[:100]})") from error
    if not isinstance(content, dict):
        raise _refusal(path, "is not an object of JSON")
    _check(path, content, _KINDS.get(path.name, {}))
    if path.name == runs.STATUS and content.get("status") not in STATUSES:
        raise _refusal(path, f"has the status {_shown(content.get('status'))}, which is none of {', '.join(STATUSES)}")
    if path.name == runs.TIMING:
        _check(path, content, {key: _NUMBER for key in content if "seconds_" in key})
    if path.name == runs.PROVENANCE:
        dataset = content.get("dataset", dict.fromkeys(_DATASET))
        _check(path, dataset, _DATASET)
        if lacking := [key for key in ("content_hash", "ref_min", "ref_max") if key not in dataset]:
            raise _refusal(path, f"says nothing of its dataset's {lacking[0]}")
        _check(path, content.get("packages", {}), {name: (str,) for name in content.get("packages", {})})
    return content


def _check(path: Path, content: dict[str, Any], kinds: dict[str, tuple[type, ...]]) -> None:
    for key, allowed in kinds.items():
        if key in content and not isinstance(content[key], allowed):
            names = " or ".join("null" if kind is NoneType else kind.__name__ for kind in allowed)
            raise _refusal(path, f"has {_shown(key)}: {_shown(content[key])}, which must be {names}")


def _shown(found: object) -> str:
    return ascii(found)[:80]


def _refusal(path: Path, reason: str) -> UserError:
    return UserError(f"{path} {reason}; no run has written it so. Remove its folder and train the run again.")
