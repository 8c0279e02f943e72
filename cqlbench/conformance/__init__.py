"""Is this loss really CQL? Every term written a second time, from the equations, to compare with."""
