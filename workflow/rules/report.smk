rule report:
    input:
        rules.scores.output,
        rules.statistics.output,
        rules.figures.output,
        rules.costs.output,
        suite=SUITE_FILE,
    output:
        report(
            f"{SUITE_FOLDER}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "the whole report"},
        ),
        f"{SUITE_FOLDER}/claims.csv",
        f"{SUITE_FOLDER}/summary.md",
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/report.log",
    message:
        "report of {SUITE.name}"
    shell:
        "cqlbench report {SUITE_FOLDER:q} --suite {input.suite:q} --results {RESULTS:q} > {log:q} 2>&1"
