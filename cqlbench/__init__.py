"""cqlbench: a benchmark and ablation harness for Conservative Q-Learning."""

__version__ = "0.1.0"
