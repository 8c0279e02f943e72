"""The health of a dataset before anybody trains on it: what is in it, and what would go wrong."""
