rule report:
    input:
        rules.scores.output,
        rules.statistics.output,
        lambda wildcards: figure_files(wildcards.suite).values(),
        rules.costs.output,
        lambda wildcards: rules.comparison.output if SUITES[wildcards.suite].compare else [],
        lambda wildcards: estimates_of(wildcards.suite),
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
    output:
        report(
            f"{SUITE_FOLDER}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "the whole report"},
        ),
        collect(
            SUITE_FOLDER + "/{file}",
            file=["claims.csv", "summary.md", "table.tex", "references.bib"],
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/report.log",
    group:
        ANALYSIS
    message:
        "report of {wildcards.suite}"
    shell:
        "cqlbench report {RESULTS:q}/suites/{wildcards.suite} --suite {input.suite:q} --results {RESULTS:q} > {log:q} 2>&1"
