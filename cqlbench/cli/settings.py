"""A method's settings as options of a command: any key of its config, in the command line's spelling."""

from __future__ import annotations

from typing import Any

from cqlbench.errors import UserError

# What a command needs so that words it does not know reach `read_settings`.
TAKES_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def read_settings(words: list[str]) -> dict[str, Any]:
    """`--cql-alpha 5 --no-layer-norm` -> {"cql_alpha": "5", "layer_norm": "false"}."""
    settings: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"{word!r} stands where an option was expected; settings are given as --cql-alpha 5.")
        key, equals, value = word[2:].partition("=")
        key = key.replace("-", "_")
        if equals:
            settings[key] = value
        elif rest and not rest[0].startswith("--"):
            settings[key] = rest.pop(0)
        elif key.startswith("no_"):
            settings[key.removeprefix("no_")] = "false"
        else:
            settings[key] = "true"
    return settings
