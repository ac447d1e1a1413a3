"""Benchmarks of the trainer, for anyone to run again."""
