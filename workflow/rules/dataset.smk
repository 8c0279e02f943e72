rule dataset:
    output:
        f"{RESULTS}/datasets/cqlbench/{{task}}/{{kind}}/data/main_data.hdf5",
    log:
        f"{RESULTS}/logs/datasets/{{task}}/{{kind}}.log",
    threads: 1
    resources:
        mem_mb=costs.DATASET_MB,
    message:
        "dataset {wildcards.task}/{wildcards.kind}"
    shell:
        "cqlbench datasets make {wildcards.task}/{wildcards.kind} --root {RESULTS:q}/datasets > {log:q} 2>&1"
