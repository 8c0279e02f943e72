rule statistics:
    input:
        rules.scores.output,
    output:
        table=report(
            f"{SUITE_FOLDER}/statistics/table.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "scores per dataset"},
        ),
        others=collect(
            SUITE_FOLDER + "/statistics/{table}.csv",
            table=(
                "finals holes aggregates profiles mean_profiles improvement improvement_by_update sample_efficiency "
                "comparisons power sweep curves diagnostics safety published"
            ).split(),
            allow_missing=True,
        ),
        timing=accounting.timing_of_step(SUITE_FOLDER, "statistics"),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/statistics.log",
    group:
        ANALYSIS
    message:
        "statistics of {wildcards.suite}"
    shell:
        "cqlbench statistics {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"
