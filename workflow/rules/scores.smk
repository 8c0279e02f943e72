rule scores:
    input:
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
        runs=lambda wildcards: expand(rules.train.output, run=runs_of(wildcards.suite)),
        taken=lambda wildcards: taken_tables(SUITES[wildcards.suite]),
    output:
        collect(
            SUITE_FOLDER + "/{table}.csv",
            table=["scores", "runs", "values", "training", "episodes"],
            allow_missing=True,
        ),
        timing=accounting.timing_of_step(SUITE_FOLDER, "scores"),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/scores.log",
    group:
        ANALYSIS
    message:
        "scores of {wildcards.suite}"
    shell:
        "cqlbench scores {input.suite:q} --results {RESULTS:q} --out {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"
