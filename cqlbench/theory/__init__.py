"""Exact tabular CQL on MDPs that are known: the paper's theorems as experiments.

`paper_alpha` is the paper's alpha, which stands beside a halved squared TD error; `cql_alpha` is twice as much.
Equations, theorems and appendices are those of Kumar et al. 2020 (arXiv 2006.04779). NumPy float64 throughout; S states
and A actions.

Beside them the truth of the linear-quadratic tasks (lqr.py), and what trained methods say of it (action_values.py).
"""
