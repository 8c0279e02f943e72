rule scores:
    input:
        suite=SUITE_FILE,
        runs=expand(rules.train.output, run=RUNS),
    output:
        collect(SUITE_FOLDER + "/{table}.csv", table=["scores", "runs", "values", "training", "episodes"]),
        timing=accounting.timing_of_step(SUITE_FOLDER, "scores"),
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/scores.log",
    message:
        "scores of {SUITE.name}"
    shell:
        "cqlbench scores {input.suite:q} --results {RESULTS:q} --out {SUITE_FOLDER:q} > {log:q} 2>&1"
