# Learned Q beside true Q, for a suite that has the dataset on which the true one is known.
rule action_values:
    input:
        suite=SUITE_FILE,
        runs=rules.scores.input.runs,
    output:
        collect(
            SUITE_FOLDER + "/{table}.csv",
            table=["action-values", "action-value-peaks", "action-value-expectations"],
        ),
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/action-values.log",
    threads: 1
    message:
        "learned and true Q of {SUITE.name}"
    shell:
        "cqlbench action-values {input.suite:q} --results {RESULTS:q} --out {SUITE_FOLDER:q} > {log:q} 2>&1"


rule action_value_figure:
    input:
        rules.action_values.output,
    output:
        report(
            f"{SUITE_FOLDER}/figures/action-values.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "learned and true Q over the actions"},
        ),
        f"{SUITE_FOLDER}/figures/action-values.png",
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/action-value-figure.log",
    message:
        "figure of learned and true Q of {SUITE.name}"
    shell:
        "cqlbench action-value-figure {SUITE_FOLDER:q} > {log:q} 2>&1"
