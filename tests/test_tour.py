"""The notebook, executed as a reader would: in an empty folder, from top to bottom."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TOP = Path(__file__).parent.parent


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's own
def test_the_tour_runs_and_shows_a_table_charts_and_advice(tmp_path, monkeypatch):
    paths = [str(TOP), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(TOP / "docs/tour.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = [{k for o in c.outputs for k in o.get("data", {})} for c in code]
    assert sum("image/png" in kind for kind in kinds) == 3
    assert sum("text/html" in kind for kind in kinds) == 1
    text = "".join(o.text for c in code for o in c.outputs if o.output_type == "stream")
    for words in ("Advice:", "Train with batch size", "Evidence:", "Limits:"):
        assert words in text
    assert (tmp_path / "results/rows").is_dir()
