"""From a suite, a method and those it is compared with to a suite of just these: what `cqlbench compare` trains."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cqlbench import runs
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.costs import expected_seconds, read_rates
from cqlbench.datasets.store import stored_metadata
from cqlbench.errors import UserError
from cqlbench.records import read_record
from cqlbench.runs import Run
from cqlbench.suites import Method, Suite, load_suite
from cqlbench.taken import why_not_taken
from cqlbench.writers import write_text

SUITE_FILE = "suite.yaml"
# A run that takes ten times what the slowest method it is compared with is priced at hangs, or cannot be waited for.
# Prices are of another machine, perhaps an idle one: hence also half an hour.
TIMES_SLOWEST = 10
SHORTEST_LIMIT = 30


class Choice(NamedTuple):
    """What a person asks `cqlbench compare` for.

    `method` is an entry of the suite, a known method or one's own class; `settings` stand over what it has there.
    `time_limit` is in minutes per run; None: `default_time_limit`.
    """

    method: str
    references: tuple[str, ...]
    settings: dict[str, Any] = {}
    time_limit: float | None = None
    train_baselines: bool = False


class Planned(NamedTuple):
    """A suite's content, per method in a sentence where its runs will come from, and how many are trained."""

    content: dict[str, Any]
    sources: list[str]
    trained: int


def plan_comparison(base: Path, choice: Choice, results: Path) -> Planned:
    """The suite of a comparison, as its file will say it.

    It selects the datasets, seeds and budget of the suite file `base`, of its methods the references with their
    headline settings, so that their runs are those of `base`, and the chosen method: one of `base` as it is there,
    any other with the common settings of `base`. Runs of `base`'s methods that are not all in the store below `results`
    are taken from <results>/reference/<name of base> where that has them. Raises UserError for a reference that `base`
    does not have and for settings not allowed.
    """
    suite = load_suite(base)
    headline = {method.family: method for method in suite.methods if method.headline}
    known = headline.get(choice.method)
    family = choice.method.rpartition(":")[2]
    if family in headline and not known:
        raise UserError(f"{choice.method}: suite {suite.name} has a method called {family}; give yours another name.")
    for reference in choice.references:
        if reference not in headline:
            raise UserError(f"--against {reference}: not in suite {suite.name}, which has {', '.join(headline)}.")
        if reference == family:
            raise UserError(f"--against {reference}: a method cannot be compared with itself; give one another name.")
    chosen = _choose(base, family, choice, known)
    sources, entries, trained = [], {}, 0
    taken: dict[str, list[str]] = {}
    for name, method in {**{name: headline[name] for name in choice.references}, family: chosen}.items():
        entries[name] = {"algorithm": method.algorithm, **method.config.changed()}
        source = _find_source(suite, method, headline.get(name), results, choice.train_baselines)
        if source.folder:
            entries[name]["taken_from"] = source.folder
            taken.setdefault(source.folder, []).append(name)
        sources.append(f"{name}: {source.words}")
        trained += source.trained
    limit = choice.time_limit
    if limit is None:
        limit = default_time_limit([headline[name] for name in choice.references], suite)
    elif limit <= 0:
        raise UserError(f"--time-limit {limit:g}: not allowed; it must be above 0, in minutes.")
    notes = [f"Written by cqlbench compare from {base.name}."]
    notes += [
        f"The runs of {' and '.join(names)} are taken from {folder}; with --train-baselines they are trained."
        for folder, names in taken.items()
    ]
    names = " ".join(choice.references)
    content = {
        "name": re.sub("[^a-z0-9]+", "-", f"{family} vs {names} on {suite.name}".lower()).strip("-"),
        "title": f"{family} against {', '.join(choice.references)} on {suite.name}",
        "note": " ".join([*notes, suite.note]).strip(),
        "datasets": list(suite.datasets),
        "seeds": list(suite.seeds),
        "protocol": dataclasses.asdict(suite.protocol),
        **({} if limit is None else {"time_limit": limit}),
        "methods": entries,
        "compare": {"method": family, "against": list(choice.references)},
    }
    return Planned(content, sources, trained)


def write_suite(content: dict[str, Any], folder: Path) -> Path:
    """Writes <folder>/suite.yaml and returns it; an equal file is left as it is."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    path = folder / SUITE_FILE
    folder.mkdir(parents=True, exist_ok=True)
    # Another time of change would make the report anew.
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def default_time_limit(methods: Iterable[Method], suite: Suite) -> float | None:
    """Minutes per run, in tens: TIMES_SLOWEST what the slowest of these methods is priced, SHORTEST_LIMIT at least.

    By the package's table of rates, so that the same comparison always has the same limit; None where one of the
    methods is not in it, since then nobody knows what is long.
    """
    rates, slowest = read_rates(), 0.0
    for method in methods:
        run = Run(suite.datasets[0], method.algorithm, method.config, suite.protocol, suite.seeds[0])
        seconds = expected_seconds(run, rates)
        if seconds is None:
            return None
        slowest = max(slowest, seconds)
    return max(SHORTEST_LIMIT, 10 * math.ceil(TIMES_SLOWEST * slowest / 600))


def _choose(base: Path, family: str, choice: Choice, known: Method | None) -> Method:
    """The method that is judged, with its settings; `known` is the entry of `base` that it is."""
    algorithm = known.algorithm if known else choice.method
    config = find_algorithm(algorithm).config
    if known:
        usual = known.config.changed()
    else:
        content = yaml.safe_load(base.read_text(encoding="utf-8"))
        # A swept common setting has a headline value, or `base` would have been refused.
        usual = {
            key: content["headline"][key] if isinstance(value, list) else value
            for key, value in content.get("common", {}).items()
            if key in config.__dataclass_fields__
        }
    try:
        return Method(family, family, algorithm, config.resolve(usual | choice.settings), {}, True)
    except UserError as error:
        raise UserError(f"{family}: {error}") from error


class _Source(NamedTuple):
    """Where a method's runs come from: the folder of tables they are taken from, or how many are trained."""

    words: str
    trained: int = 0
    folder: str | None = None


def _find_source(suite: Suite, method: Method, known: Method | None, results: Path, train_all: bool) -> _Source:
    wanted = [
        (method, Run(dataset, method.algorithm, method.config, suite.protocol, seed))
        for dataset in suite.datasets
        for seed in suite.seeds
    ]
    missing = sum(not (run.folder(results) / runs.STATUS).is_file() for _, run in wanted)
    if not missing:
        return _Source(f"its {len(wanted)} runs are there.")
    trained = f"{missing} of {len(wanted)} runs are trained"
    if known is None or known.config != method.config:
        return _Source(f"{trained}.", missing)
    if train_all:
        return _Source(f"{trained}, as --train-baselines says.", missing)
    folder = Path(known.taken_from) if known.taken_from else results / "reference" / suite.name
    if reason := why_not_taken(wanted, folder, results / "datasets"):
        return _Source(f"{trained}, since none can be taken: {reason}.", missing)
    words = f"its {len(wanted)} runs are taken from {folder}; --train-baselines trains them."
    return _Source(words, folder=folder.as_posix())


def refuse_other_data(suite: Suite, results: Path) -> None:
    """Raises UserError where a run that is there was trained on another content than the dataset now has.

    Another budget, protocol or setting is another run, in a folder of its own: it is never taken for this one.
    """
    for dataset in suite.datasets:
        stored = stored_metadata(dataset, results / "datasets")
        for run in (run for _, run in suite.runs() if run.dataset == dataset):
            path = run.folder(results) / runs.PROVENANCE
            content = read_record(path).get("dataset", {}).get("content_hash")
            if stored and content and content != stored["content_hash"]:
                raise UserError(
                    f"{path.parent} was trained on another content of {dataset} ({content[:12]}, now "
                    f"{stored['content_hash'][:12]}), so it cannot be compared with. Train it again: cqlbench retry "
                    f"{results / 'suites' / suite.name / SUITE_FILE} --retrain-stale"
                )
