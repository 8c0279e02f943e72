# A job on a node is told to Snakemake there as `train:run="a,width=32"`, and what follows the comma is read as another
# wildcard, `width` (https://github.com/snakemake/snakemake/issues/2366). Our runs have commas in their names, so that
# Snakemake puts together again what belongs together.
from snakemake.dag import DAG


def with_commas(wildcards, names):
    """The wildcards of a rule, which has those of these `names`, from what Snakemake has read."""
    whole = {}
    for name, value in wildcards.items():
        if name in names:
            last = name
            whole[name] = value
        else:
            whole[last] += f",{name}={value}"
    return whole


if not workflow.is_main_process:
    new_job = DAG.new_job

    async def new_job_with_commas(dag, rule, targetfile=None, format_wildcards=None, wildcards_dict=None):
        # Told by its wildcards alone: the job that this process is there for.
        if targetfile is None and wildcards_dict:
            wildcards_dict = with_commas(wildcards_dict, rule.wildcard_names)
        return await new_job(dag, rule, targetfile, format_wildcards, wildcards_dict)

    DAG.new_job = new_job_with_commas
