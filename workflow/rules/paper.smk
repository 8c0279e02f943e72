# Every suite of the paper's own tables and figures, and its theorems; docs/paper.md says which is which.
rule value_table:
    input:
        expand(rules.statistics.output.table, suite=["paper-values-medium", "paper-values"]),
        suites=[SUITE_FILES[name] for name in ("paper-values-medium", "paper-values")],
    output:
        report(
            f"{RESULTS}/paper/values.csv",
            caption="../report/value_table.rst",
            category="Tables",
            labels={"table": "predicted minus true value"},
        ),
        f"{RESULTS}/paper/values.md",
    log:
        f"{RESULTS}/logs/paper/values.log",
    message:
        "the paper's value table"
    shell:
        "cqlbench value-table {input.suites:q} --results {RESULTS:q} --out {RESULTS:q}/paper > {log:q} 2>&1"


rule paper:
    input:
        lambda wildcards: made(*PAPER),
        rules.value_table.output,
        rules.theory.input,
    localrule: True
