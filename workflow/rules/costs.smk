rule costs:
    input:
        rules.scores.output.timing,
        rules.statistics.output.timing,
        accounting.timing_of_step(SUITE_FOLDER, "figures"),
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
    output:
        report(
            f"{SUITE_FOLDER}/{accounting.COSTS}",
            caption="../report/costs.rst",
            category="Tables",
            labels={"table": "where the time went"},
        ),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/costs.log",
    group:
        ANALYSIS
    message:
        "costs of {wildcards.suite}"
    shell:
        "cqlbench costs {input.suite:q} --results {RESULTS:q} --out {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"
