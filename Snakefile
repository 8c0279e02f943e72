# The entry: `snakemake --cores 8` runs the suite in workflow/config/full.yaml, `--configfile FILE` any other.
# Snakemake runs nothing when the top-level file only includes another, hence the target of its own.
include: "workflow/Snakefile"


rule suite:
    default_target: True
    input:
        rules.all.input,
    localrule: True
