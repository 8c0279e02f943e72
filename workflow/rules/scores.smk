rule scores:
    input:
        suite=SUITE_FILE,
        runs=expand(rules.train.output, run=RUNS),
    output:
        collect(SUITE_FOLDER + "/{table}.csv", table=["scores", "runs", "values"]),
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/scores.log",
    message:
        "scores of {SUITE.name}"
    shell:
        "cqlbench scores {input.suite} --results {RESULTS} --out {SUITE_FOLDER} > {log} 2>&1"
