# For a suite that says so: what logs alone say of its runs, one job for each.
rule estimate:
    input:
        rules.train.output,
        lambda wildcards: ancient(
            [
                dataset_file(f"{RESULTS}/datasets", dataset)
                for dataset in held_out(wildcards.suite, RUNS[wildcards.run])
            ]
        ),
    output:
        f"{SUITE_FOLDER}/estimates/{{run}}.csv",
    log:
        f"{RESULTS}/logs/suites/{{suite}}/estimates/{{run}}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards: costs.run_memory_mb(RUNS[wildcards.run]) + AROUND_MB,
    params:
        folder=subpath(input[0], parent=True),
        updates=lambda wildcards: SUITES[wildcards.suite].estimates.updates,
        held_out=lambda wildcards: [
            f"--held-out={dataset}" for dataset in held_out(wildcards.suite, RUNS[wildcards.run])
        ],
    message:
        "estimates of {wildcards.run}"
    shell:
        "cqlbench estimate {params.folder:q} --results {RESULTS:q} --updates {params.updates} {params.held_out:q} --out {output:q} > {log:q} 2>&1"


rule estimates:
    input:
        lambda wildcards: expand(rules.estimate.output, suite=wildcards.suite, run=runs_of(wildcards.suite)),
        suite=lambda wildcards: SUITE_FILES[wildcards.suite],
    output:
        f"{SUITE_FOLDER}/estimates.csv",
        report(
            f"{SUITE_FOLDER}/statistics/estimates.csv",
            caption="../report/estimates.rst",
            category="Tables",
            labels={"table": "estimates from logs alone"},
        ),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/estimates.log",
    message:
        "estimates of {wildcards.suite}"
    shell:
        "cqlbench estimates {input.suite:q} --results {RESULTS:q} --out {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"


rule estimate_figure:
    input:
        rules.estimates.output,
    output:
        report(
            f"{SUITE_FOLDER}/figures/estimates.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "estimates from logs alone"},
        ),
        collect(SUITE_FOLDER + "/figures/estimates.{suffix}", suffix=["pdf", "png", "csv"], allow_missing=True),
    log:
        f"{RESULTS}/logs/suites/{{suite}}/estimate-figure.log",
    message:
        "figure of the estimates of {wildcards.suite}"
    shell:
        "cqlbench estimate-figure {RESULTS:q}/suites/{wildcards.suite} > {log:q} 2>&1"


def estimates_of(suite):
    """What the suite's report shows of them, where it has any."""
    files = [*rules.estimates.output, *rules.estimate_figure.output]
    return expand(files, suite=suite) if SUITES[suite].estimates else []
