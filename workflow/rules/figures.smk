rule figures:
    input:
        rules.scores.output,
        rules.statistics.output,
    output:
        # One keyword per figure: report() needs a label for each.
        **{
            name: report(
                f"{SUITE_FOLDER}/figures/{name}.svg",
                caption="../report/figure.rst",
                category="Figures",
                labels={"figure": name.replace("_", " ")},
            )
            for name in figure_names(SUITE.axes)
        },
        png=collect(SUITE_FOLDER + "/figures/{name}.png", name=figure_names(SUITE.axes)),
        timing=accounting.timing_of_step(SUITE_FOLDER, "figures"),
    log:
        f"{RESULTS}/logs/suites/{SUITE.name}/figures.log",
    message:
        "figures of {SUITE.name}"
    shell:
        "cqlbench figures {SUITE_FOLDER:q} > {log:q} 2>&1"
