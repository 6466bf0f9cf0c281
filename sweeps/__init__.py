"""One file per question: each has one constant SWEEP and a docstring."""
