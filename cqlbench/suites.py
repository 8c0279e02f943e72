"""A suite: one YAML file that selects datasets x methods x seeds under one budget, and says what is expected.

A suite only selects. Its runs live in the store shared by all suites, so two suites that name the same run train it
once. Everything a person can get wrong in the file is found here, before any job starts.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.datasets.sources import split_id
from cqlbench.errors import UserError
from cqlbench.runs import Protocol, Run, readable

# What the schema calls a type, in words.
TYPES = {"array": "a list", "object": "a mapping", "integer": "a whole number", "number": "a number", "string": "text"}
# Of a fitted Q evaluation, where a suite does not say; on what they were chosen is told in docs/estimates.md.
FQE_UPDATES = 10_000
# Where the suites that come with the repository are, from its top folder.
SHIPPED = Path("workflow", "config")


@dataclass(frozen=True)
class Method:
    """One column of the comparison: an algorithm with its settings.

    `family` is its entry in the suite file, `axes` the settings that entry sweeps, with this method's values, and
    `label` both together: `cql cql_alpha=10`; with a drawn backward always that too. The main comparison shows each
    family's one `headline` method. `taken_from` is the folder of tables that its runs are taken from instead of being
    trained, None where they are trained.
    """

    label: str
    family: str
    algorithm: str
    config: MethodConfig
    axes: dict[str, Any]
    headline: bool
    taken_from: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The family that is judged, and those it is judged against."""

    method: str
    against: tuple[str, ...]


@dataclass(frozen=True)
class Estimates:
    """How the runs are estimated from logs alone: updates of the fitted Q evaluation, and, for a dataset, another with
    episodes that no run is trained on."""

    updates: int
    held_out: dict[str, str]


@dataclass(frozen=True)
class Suite:
    """What a suite file says, checked and with every list of settings multiplied out into methods.

    `time_limit` is in minutes per run; None: no limit.
    """

    name: str
    title: str
    note: str
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: Protocol
    methods: tuple[Method, ...]
    claims: tuple[dict[str, Any], ...]
    compare: Comparison | None = None
    estimates: Estimates | None = None
    time_limit: float | None = None

    @property
    def axes(self) -> list[str]:
        """The swept settings of all methods, sorted."""
        return sorted({key for method in self.methods for key in method.axes})

    def runs(self) -> list[tuple[Method, Run]]:
        """Every run that is trained beside its method, by dataset, then method, then seed, in the file's order."""
        return [(method, run) for method, run in self._planned() if method.taken_from is None]

    def taken_runs(self) -> list[tuple[Method, Run]]:
        """Those of the methods that are taken from tables, in the same order."""
        return [(method, run) for method, run in self._planned() if method.taken_from is not None]

    def _planned(self) -> list[tuple[Method, Run]]:
        return [
            (method, Run(dataset, method.algorithm, method.config, self.protocol, seed))
            for dataset in self.datasets
            for method in self.methods
            for seed in self.seeds
        ]


def find_suite_file(suite: str) -> Path:
    """The file of a suite given by its path, or by its name in SHIPPED. Raises UserError where it is neither."""
    if Path(suite).is_file():
        return Path(suite)
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    if suite in shipped:
        return shipped[suite]
    known = f"the suites in {SHIPPED} are {', '.join(shipped)}" if shipped else f"there is no {SHIPPED} here"
    raise UserError(f"suite: {suite!r} is neither a file nor a suite's name; {known}.")


def load_suite(path: Path | str) -> Suite:
    """Reads and checks a suite file.

    Raises UserError, on one line, where the file is missing or not YAML and for the first key or value that is not
    allowed: it names the file, the key, the value and what is allowed.
    """
    try:
        return _build(_read(Path(path)))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    """The content of the file, of the shape the schema allows."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"this suite file cannot be read ({error.strerror}).") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{line}this is not YAML ({error.problem}).") from error
    # PyYAML lets what goes wrong inside a value, such as 2024-13-45 or a lone byte, escape as it is.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"this is not YAML in UTF-8 ({' '.join(str(error).split())}).") from error
    schema = yaml.safe_load((resources.files("cqlbench") / "suite.schema.yaml").read_text())
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(content), key=lambda error: error.json_path)
    if errors:
        raise UserError(_explain(errors[0]))
    return content


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which would keep the last of two equal keys and drop the others in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str" or not key.value.isprintable():
                raise UserError(
                    f"line {line}: the key {key.value!r} is not allowed; keys are text (a number in quotes)."
                )
            if key.value in lines:
                raise UserError(
                    f"line {line}: the key {key.value} stands there a second time, after line {lines[key.value]}; "
                    "leave one out, or give one another name."
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def _explain(error: jsonschema.ValidationError) -> str:
    """The schema's complaint as a sentence with the key, the value and what is allowed."""
    key = ".".join(str(part) for part in error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "additionalProperties":
        unknown = next(name for name in error.instance if name not in error.schema["properties"])
        key = f"{key}.{unknown}" if key else str(unknown)
        return f"{key}: no such key; the allowed ones are {', '.join(error.schema['properties'])}."
    if error.validator == "required":
        missing = next(name for name in rule if name not in error.instance)
        return f"{key}.{missing} is missing." if key else f"{missing} is missing."
    allowed = {
        "type": lambda: " or ".join(TYPES.get(name, name) for name in ([rule] if isinstance(rule, str) else rule)),
        "enum": lambda: f"one of {', '.join(rule)}",
        "minimum": lambda: f"from {rule}",
        "maximum": lambda: f"at most {rule:,}",
        "maxLength": lambda: f"of at most {rule} characters",
        "exclusiveMinimum": lambda: f"above {rule}",
        "minItems": lambda: f"a list of at least {rule}",
        "minProperties": lambda: f"a mapping with at least {rule} entry",
        "uniqueItems": lambda: "a list in which nothing stands twice",
        "pattern": lambda: f"of the form {rule}",
    }[str(error.validator)]()
    return f"{key or 'the file'}: {error.instance!r} is not allowed; it must be {allowed}."


def _build(content: dict[str, Any]) -> Suite:
    """The suite, with everything checked that a schema cannot say."""
    for dataset in content["datasets"]:
        split_id(dataset)
    methods = _methods(content)
    families = [method.family for method in methods if method.headline]
    for index, claim in enumerate(content.get("claims", [])):
        for key, allowed in (("method", families), ("reference", families), ("dataset", content["datasets"])):
            if key in claim and claim[key] not in allowed:
                raise UserError(
                    f"claims.{index}.{key}: {claim[key]!r} is not in this suite; it must be {', '.join(allowed)}."
                )
    comparison = content.get("compare")
    if comparison:
        for key, names in (("method", [comparison["method"]]), ("against", comparison["against"])):
            if unknown := [name for name in names if name not in families]:
                raise UserError(
                    f"compare.{key}: {unknown[0]!r} is not in this suite; it must be {', '.join(families)}."
                )
        if comparison["method"] in comparison["against"]:
            raise UserError(f"compare.against: {comparison['method']!r} cannot be compared with itself; leave it out.")
    if math.isnan(content.get("time_limit", 0)):
        raise UserError("time_limit: nan is not allowed; it must be a number of minutes above 0.")
    suite = Suite(
        name=content["name"],
        title=content.get("title", content["name"]),
        note=content.get("note", ""),
        datasets=tuple(content["datasets"]),
        # To a schema 1.0 is a whole number too.
        seeds=tuple(int(seed) for seed in content["seeds"]),
        protocol=Protocol(**{key: int(value) for key, value in content.get("protocol", {}).items()}),
        methods=methods,
        claims=tuple(content.get("claims", [])),
        compare=Comparison(comparison["method"], tuple(comparison["against"])) if comparison else None,
        estimates=_estimates(content),
        time_limit=content.get("time_limit"),
    )
    # Whatever a run refuses, it refuses here and not in the middle of a workflow.
    suite._planned()
    return suite


def _estimates(content: dict[str, Any]) -> Estimates | None:
    if "estimates" not in content:
        return None
    held_out = content["estimates"].get("held_out", {})
    for dataset, other in held_out.items():
        if dataset not in content["datasets"]:
            raise UserError(
                f"estimates.held_out: {dataset!r} is not in this suite; it must be {', '.join(content['datasets'])}."
            )
        try:
            split_id(other)
        except UserError as error:
            raise UserError(f"estimates.held_out: {error}") from error
    return Estimates(int(content["estimates"].get("updates", FQE_UPDATES)), held_out)


def _methods(content: dict[str, Any]) -> tuple[Method, ...]:
    """Every entry under `methods`, its lists multiplied out."""
    common, headline = content.get("common", {}), content.get("headline", {})
    methods: list[Method] = []
    used_keys: set[str] = set()
    for family, entry in content["methods"].items():
        algorithm = entry.get("algorithm", family)
        try:
            config = find_algorithm(algorithm).config
        except UserError as error:
            raise UserError(f"methods.{family}: {error}") from error
        shared = {key: value for key, value in common.items() if key in config.__dataclass_fields__}
        own = {key: value for key, value in entry.items() if key not in ("algorithm", "taken_from")}
        used_keys.update(shared)

        choices: dict[str, list[Any]] = {}
        for place, settings in (("common", shared), (f"methods.{family}", own)):
            for key, value in settings.items():
                values = value if isinstance(value, list) else [value]
                choices[key] = [_read_value(place, config, key, one) for one in values]
                if len(set(choices[key])) < len(values):
                    raise UserError(f"{place}.{key}: {value!r} is not allowed; a value stands in it twice.")
        swept = [key for key in choices if isinstance({**shared, **own}[key], list)]
        shown = {key: _headline_value(family, config, key, choices[key], headline) for key in swept}

        for combination in itertools.product(*choices.values()):
            settings = dict(zip(choices, combination, strict=True))
            axes = {key: settings[key] for key in swept}
            resolved = _resolve(f"methods.{family}", config, settings)
            # Another estimator of the same gradient: no table shows it without.
            drawn = getattr(resolved, "backward_actions", None)
            told = axes | ({} if drawn is None else {"backward_actions": drawn})
            methods.append(
                Method(
                    label=" ".join([family, *(f"{key}={readable(value)}" for key, value in told.items())]),
                    family=family,
                    algorithm=algorithm,
                    config=resolved,
                    axes=axes,
                    headline=axes == shown,
                    taken_from=entry.get("taken_from"),
                )
            )
    for key in common:
        if key not in used_keys:
            raise UserError(f"common.{key}: no method of this suite has this setting.")
    for key in headline:
        if not any(key in method.axes for method in methods):
            raise UserError(f"headline.{key}: no method of this suite sweeps this setting; leave it out.")
    return tuple(methods)


def _resolve(place: str, config: type[MethodConfig], settings: dict[str, Any]) -> MethodConfig:
    """The method's config; what contradicts is said with the entry it stands in."""
    try:
        return config.resolve(settings)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _read_value(place: str, config: type[MethodConfig], key: str, value: Any) -> Any:
    """`value` as the config reads it, so that 10 and 10.0 are the same value."""
    try:
        return config.read(key, value)
    except UserError as error:
        raise UserError(f"{place}.{error}") from error


def _headline_value(
    family: str, config: type[MethodConfig], key: str, choices: list[Any], headline: dict[str, Any]
) -> Any:
    """The value of a swept setting that the main comparison shows."""
    allowed = ", ".join(readable(value) for value in choices)
    if key not in headline:
        raise UserError(
            f"headline.{key} is missing; {family} sweeps it, so say which value the main comparison shows: {allowed}."
        )
    value = _read_value("headline", config, key, headline[key])
    if value not in choices:
        raise UserError(f"headline.{key}: {headline[key]!r} is not among the values {family} sweeps: {allowed}.")
    return value
