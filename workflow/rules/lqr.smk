# Learned Q beside true Q, for a suite that has the dataset on which the true one is known.
rule action_values:
    input:
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
        runs=lambda wildcards: expand(rules.train.output, run=runs_of(wildcards.suite)),
    output:
        collect(
            SUITE_FOLDER + "/{table}.csv",
            table=["action-values", "action-value-peaks", "action-value-expectations"],
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/action-values.log",
    threads: 1
    message:
        "learned and true Q of {wildcards.suite}"
    shell:
        "cqlbench action-values {input.suite:q} --results {RESULTS:q} --out {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"


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
        f"{SUITE_FOLDER}/figures/action-values.pdf",
        f"{SUITE_FOLDER}/figures/action-values.png",
    log:
        f"{RESULTS}/logs/suites/{{suite}}/action-value-figure.log",
    message:
        "figure of learned and true Q of {wildcards.suite}"
    shell:
        "cqlbench action-value-figure {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"
