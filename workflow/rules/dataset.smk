rule dataset:
    output:
        f"{RESULTS}/datasets/cqlbench/{{task}}/{{kind}}/data/main_data.hdf5",
    log:
        f"{RESULTS}/logs/datasets/{{task}}/{{kind}}.log",
    threads: 1
    resources:
        mem_mb=costs.DATASET_MB + AROUND_MB,
        runtime=costs.DATASET_MINUTES,
    message:
        "dataset {wildcards.task}/{wildcards.kind}"
    shell:
        "cqlbench datasets make {wildcards.task}/{wildcards.kind} --root {RESULTS:q}/datasets > {log:q} 2>&1"


def own_data(dataset):
    """The file of a dataset that is made here. Of data from elsewhere none: refuse_missing_data.

    Ancient: a dataset made again is the same dataset. Where it is not, its content hash tells, and the scores refuse to
    mix the two.
    """
    return [] if ":" in dataset else ancient(dataset_file(f"{RESULTS}/datasets", dataset))
