"""How fast an update is here, beside d3rlpy's and beside what the machine can do."""
