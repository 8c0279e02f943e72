# Needs no run and no dataset: exact tabular CQL on MDPs that are known.
rule theory_table:
    output:
        f"{RESULTS}/theory/{{experiment}}.csv",
    log:
        f"{RESULTS}/logs/theory/{{experiment}}.log",
    wildcard_constraints:
        experiment="|".join(THEORY),
    params:
        draws=["--draws", SETTINGS["draws"]] if "draws" in SETTINGS else [],
    message:
        "theory {wildcards.experiment}"
    shell:
        "cqlbench theory run {wildcards.experiment} {params.draws:q} --out {RESULTS:q}/theory > {log:q} 2>&1"


rule theory_figure:
    input:
        rules.theory_table.output,
    output:
        report(
            f"{RESULTS}/theory/figures/{{experiment}}.svg",
            caption="../report/theory.rst",
            category="Theory",
            labels={"experiment": "{experiment}"},
        ),
        f"{RESULTS}/theory/figures/{{experiment}}.pdf",
        f"{RESULTS}/theory/figures/{{experiment}}.png",
    log:
        f"{RESULTS}/logs/theory/{{experiment}}-figure.log",
    wildcard_constraints:
        experiment="|".join(THEORY),
    message:
        "figure of theory {wildcards.experiment}"
    shell:
        "cqlbench theory figure {wildcards.experiment} {RESULTS:q}/theory > {log:q} 2>&1"


rule theory_verdicts:
    input:
        collect(RESULTS + "/theory/{experiment}.csv", experiment=THEORY),
    output:
        f"{RESULTS}/theory/verdicts.csv",
    log:
        f"{RESULTS}/logs/theory/verdicts.log",
    message:
        "verdicts of theory"
    shell:
        "cqlbench theory verdicts {RESULTS:q}/theory > {log:q} 2>&1"


rule theory_report:
    input:
        rules.theory_verdicts.input,
        rules.theory_verdicts.output,
        collect(rules.theory_figure.output, experiment=THEORY),
    output:
        f"{RESULTS}/theory/report.html",
    log:
        f"{RESULTS}/logs/theory/report.log",
    message:
        "report of theory"
    shell:
        "cqlbench theory report {RESULTS:q}/theory > {log:q} 2>&1"


rule theory:
    input:
        rules.theory_report.output,
    localrule: True
