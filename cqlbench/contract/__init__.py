"""Does a method of one's own keep the contract of `algorithms/algorithm.py`?"""
