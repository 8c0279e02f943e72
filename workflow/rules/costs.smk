rule costs:
    input:
        rules.scores.output.timing,
        rules.statistics.output.timing,
        rules.figures.output.timing,
        suite=SUITE_FILE,
    output:
        report(
            f"{SUITE_FOLDER}/{accounting.COSTS}",
            caption="../report/costs.rst",
            category="Tables",
            labels={"table": "where the time went"},
        ),
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/costs.log",
    message:
        "costs of {SUITE.name}"
    shell:
        "cqlbench costs {input.suite:q} --results {RESULTS:q} --out {SUITE_FOLDER:q} > {log:q} 2>&1"
