rule train:
    input:
        lambda wildcards: own_data(RUNS[wildcards.run].dataset),
    output:
        # The one file that every run writes, also one that failed.
        f"{RESULTS}/runs/{{run}}/{runs.STATUS}",
    log:
        f"{RESULTS}/logs/runs/{{run}}.log",
    threads: 1
    resources:
        # Given to a cluster; more at each attempt, for a run that cannot go on from where it was.
        mem_mb=lambda wildcards, attempt: attempt * (costs.run_memory_mb(RUNS[wildcards.run]) + AROUND_MB),
        runtime=lambda wildcards, attempt: (
            attempt * costs.run_minutes(RUNS[wildcards.run], rates(), TIME_LIMITS[wildcards.run]) if ON_NODES else None
        ),
        gpu=lambda wildcards: 1 if DEVICE else None,
    params:
        folder=subpath(output[0], parent=True),
        arguments=lambda wildcards: shlex.join(RUNS[wildcards.run].arguments()),
        limit=lambda wildcards: ["--time-limit", f"{limit:g}"] if (limit := TIME_LIMITS[wildcards.run]) else [],
    message:
        "train {wildcards.run}"
    shell:
        "cqlbench train {params.arguments} --results {RESULTS:q} --out {params.folder:q} --keep-going {params.limit:q} {DEVICE} {EVENT_FILES} > {log:q} 2>&1"
