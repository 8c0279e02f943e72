rule train:
    input:
        # Ancient: a dataset made again is the same dataset. Where it is not, its content hash tells, and the scores
        # refuse to mix the two.
        lambda wildcards: ancient(dataset_file(f"{RESULTS}/datasets", RUNS[wildcards.run].dataset)),
    output:
        # The one file that every run writes, also one that failed.
        f"{RESULTS}/runs/{{run}}/{runs.STATUS}",
    log:
        f"{RESULTS}/logs/runs/{{run}}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards: costs.run_memory_mb(RUNS[wildcards.run]),
    params:
        folder=subpath(output[0], parent=True),
        arguments=lambda wildcards: shlex.join(RUNS[wildcards.run].arguments()),
        limit=lambda wildcards: ["--time-limit", f"{limit:g}"] if (limit := TIME_LIMITS[wildcards.run]) else [],
    message:
        "train {wildcards.run}"
    shell:
        "cqlbench train {params.arguments} --results {RESULTS:q} --out {params.folder:q} --keep-going {params.limit:q} {EVENT_FILES} > {log:q} 2>&1"
