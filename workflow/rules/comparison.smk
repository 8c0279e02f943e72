# For a suite that says which method it judges.
rule comparison:
    input:
        rules.scores.output,
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
    output:
        report(
            f"{SUITE_FOLDER}/comparison.csv",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "one method against others"},
        ),
        f"{SUITE_FOLDER}/comparison.md",
    log:
        f"{RESULTS}/logs/suites/{{suite}}/comparison.log",
    group:
        ANALYSIS
    params:
        method=lambda wildcards: SUITES[wildcards.suite].compare.method,
        against=lambda wildcards: [f"--against={name}" for name in SUITES[wildcards.suite].compare.against],
    message:
        "comparison of {wildcards.suite}"
    shell:
        "cqlbench comparison {RESULTS:q}/suites/{wildcards.suite} {params.method:q} {params.against:q} > {log:q} 2>&1"
