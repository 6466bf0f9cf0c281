"""python -m, except that nodes of a slow machine have long enough to answer.

And except for what takes seconds and other tests look at: no chart is rendered
(tests/report), and the speed of a machine is not measured (tests/launch).

    python tests/patiently.py raybs.sweep lr_compensation
"""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path.cwd())  # where -m looks first

from analysis.charts import theme  # noqa: E402
from raybs.launch.calibration import Calibration  # noqa: E402
from raybs.launch.ray import nodes  # noqa: E402

nodes.ANSWER_SECONDS = 1800.0
theme._rendered = lambda spec, kind: b""
Calibration._measure_at_end = lambda self, device, measure: None
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
