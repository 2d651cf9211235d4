"""Speed and memory of ML-Dash beside the floors of the machine: `python -m benchmarks`."""
