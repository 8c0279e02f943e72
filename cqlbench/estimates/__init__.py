"""What can be said of a policy from logs alone: fitted Q evaluation, values of initial states, errors on held-out data.

These are estimates. Where there is a simulator, their distance from the truth is measured too.
"""
