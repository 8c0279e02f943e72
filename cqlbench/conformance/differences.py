"""The dialects side by side: every setting in which one of them differs from another or from our own CQL."""

from __future__ import annotations

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.dialects import DIALECTS
from cqlbench.runs import readable


def differences() -> dict[str, list[str]]:
    """Per setting its value in `cql` and in each dialect, in DIALECTS' order; settings equal in all are left out."""
    columns = [CQLConfig().settings(), *(config().settings() for config in DIALECTS.values())]
    rows = {key: [readable(column[key]) for column in columns] for key in columns[0]}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def markdown() -> str:
    """`differences` as a table; what differs from `cql` in bold."""
    lines = ["| setting | cql | " + " | ".join(f"cql@{name}" for name in DIALECTS) + " |"]
    lines.append("| --- |" + " --- |" * (len(DIALECTS) + 1))
    for key, (own, *others) in differences().items():
        cells = [own, *(f"**{value}**" if value != own else value for value in others)]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
