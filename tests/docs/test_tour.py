"""The notebook, executed as a reader would: in an empty folder, from top to bottom."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from waits import run

TOP = Path(__file__).parents[2]

# In a process of its own, since only what others do is waited for without an end.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=None, startup_timeout=600).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.mark.slow
def test_the_tour_runs_and_shows_a_table_charts_and_advice(tmp_path, monkeypatch):
    paths = [str(TOP), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    done = run([sys.executable, "-c", EXECUTE, str(TOP / "docs/tour.ipynb")])
    assert done.returncode == 0, done.stdout
    notebook = nbformat.read("executed.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = [{k for o in c.outputs for k in o.get("data", {})} for c in code]
    assert sum("image/png" in kind for kind in kinds) == 3
    assert sum("text/html" in kind for kind in kinds) == 1
    text = "".join(o.text for c in code for o in c.outputs if o.output_type == "stream")
    for words in ("Advice:", "ends highest, with", "Evidence:", "Limits:"):
        assert words in text
    assert (tmp_path / "results/rows").is_dir()
