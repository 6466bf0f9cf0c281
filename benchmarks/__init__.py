"""How fast raybs is, as ratios in one run: python -m benchmarks.step, and others."""
