"""How much does the norm of a draw depend on its samples, how much on their order?

Run:     python -m raybs.sweep docs/crossed.py
Cost:    7,200 draws: 15 minutes on two cores, once the states are trained
"""

from dataclasses import replace

from sweeps.gradient_competition import SWEEP as WHOLE

SWEEP = replace(WHOLE, batch_sizes=(1, 8, 64, 512), num_draws=30, crossed=(30, 30))
