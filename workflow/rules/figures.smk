def figure_files(suite, suffix="svg"):
    """By the figure's name: those of this suite, which has one for each setting that it sweeps."""
    folder = SUITE_FOLDER.format(suite=suite)
    return {name: f"{folder}/figures/{name}.{suffix}" for name in figure_names(SUITES[suite].axes)}


# A rule for each suite, because outputs cannot depend on wildcards.
for suite in SUITES:

    rule:
        name:
            f"figures_{suite}".replace("-", "_")
        input:
            expand(rules.scores.output, suite=suite),
            expand(rules.statistics.output, suite=suite),
        output:
            # One keyword per figure: report() needs a label for each.
            **{
                name: report(
                    file,
                    caption="../report/figure.rst",
                    category="Figures",
                    labels={"figure": name.replace("_", " ")},
                )
                for name, file in figure_files(suite).items()
            },
            others=[file for suffix in ("pdf", "png", "csv") for file in figure_files(suite, suffix).values()],
            timing=accounting.timing_of_step(SUITE_FOLDER.format(suite=suite), "figures"),
        log:
            f"{RESULTS}/logs/suites/{suite}/figures.log",
        group:
            ANALYSIS
        params:
            suite=suite,
        message:
            "figures of {params.suite}"
        shell:
            "cqlbench figures {RESULTS:q}/suites/{params.suite} > {log:q} 2>&1"
