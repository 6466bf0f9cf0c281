"""Networks that cannot be trained: told before anything is, in words."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.config.gradient_sweep import GradientSweep
from raybs.runner import run
from raybs.store.opening import open_store
from raybs.sweep import main

SWEEP = '''"""A network of one's own."""
from raybs import Phase, TrainConfig, TrainSweep

SWEEP = TrainSweep(
    configs=(
        TrainConfig(
            phases=(Phase(batch_size={size}, learning_rate=0.1, epochs=1),),
            dataset={dataset!r},
            {fields}
        ),
    ),
)
'''

HEAD = "import torch, os\nfrom torch import nn\nfrom torch.nn import functional\n"

LINEAR = "lambda num_classes: nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))"

FORWARD = """
class make(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.last = nn.Linear(784, num_classes)
        self.calls = 0
        {init}

    def forward(self, x):
        h = self.last(x.flatten(1))
        {body}
        return h
"""


def forward(body="", init="pass"):
    return FORWARD.format(body=body, init=init)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(subset, code, *, fields='model="net.py:make",', size=64, status=2):
    """The output of a sweep of a network of `code`, on the command line."""
    Path("net.py").write_text(HEAD + code)
    Path("mine.py").write_text(
        SWEEP.format(size=size, dataset=subset.name, fields=fields)
    )
    result = CliRunner().invoke(main, ["mine.py", "--local"])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def make(module):
    return f"make = lambda num_classes: {module}"


FLAT = "nn.Sequential(nn.Flatten(), {})"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def other(): pass", "net.py defines no make"),
        ("def make():\n    raise KeyError('size')", "net.py:make raised KeyError"),
        ("def make():\n    raise SystemExit(1)", "net.py:make raised SystemExit: 1"),
        ("def make(width): pass", "needs width; it is called with num_classes"),
        ("def make(): return 3", "returned int, not a torch.nn.Module"),
        (make("nn.Sequential()"), "no parameters to train"),
        (
            make("nn.Sequential(nn.Flatten(), nn.Linear(784, 7))"),
            "gives (64, 7) for a batch of 64; (64, 10) is needed",
        ),
        (
            make("nn.Sequential(nn.Linear(100, 10))"),
            "fails on a batch of shape (64, 1, 28, 28), samples of (1, 28, 28)",
        ),
        (
            make("nn.Sequential(nn.LazyConv3d(1, 3), nn.Linear(100, 10))"),
            "fails on a batch of shape (2, 1, 28, 28), samples of (1, 28, 28)",
        ),
        (
            make("nn.ParameterList([nn.Parameter(torch.ones(2, 2).int(), False)])"),
            "0 is torch.int32; parameters must be float32",
        ),
        (
            make(
                "nn.ParameterList([nn.Parameter(torch.zeros(2, 2).to_sparse(), False)])"
            ),
            "0 is sparse; only dense tensors",
        ),
        (
            make("nn.Sequential(nn.Flatten(), nn.Linear(784, 10, device='meta'))"),
            "is on meta; make the module on the CPU",
        ),
        (make("nn.BatchNorm2d(1)"), "no parameter has two dimensions or more"),
        (
            make(FLAT.format("nn.Linear(784, 10).requires_grad_(False)")),
            "nothing of it can be trained",
        ),
        (forward(init="self.last.weight.data += ord(os.urandom(1)) + id(self) % 97"),
         "two calls with one seed give different parameters"),
        (
            forward("self.calls += 1\n        h = h + self.calls * self.training"),
            "in train mode it gives two results for one batch",
        ),
        (
            forward(
                "self.calls += 1\n"
                "        h = h if self.training else h * self.calls"
            ),
            "in eval mode it gives two results for one batch",
        ),
        (
            forward("h = (h, h) if self.training else h"),
            "gives <class 'tuple'> for a batch of 38; (38, 10) is needed",
        ),
        (forward("h = h * float('nan')"), "net.py:make at init is not finite"),
        (forward("h = h + torch.sqrt(0 * h)"), "its gradients at init are not finite"),
        (
            forward(init="self.register_buffer('b', torch.ones(2).cfloat())"),
            "b is torch.complex64; buffers that can be stored",
        ),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_trained_is_refused(here, subset, code, words):
    assert words in call(subset, code)
    assert not list(Path("results").rglob("rows/*"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "functional.cross_entropy(logits, labels)",
            "gives () for a batch of 64; (64,)",
        ),
        ("logits.argmax(1) == labels", "gives torch.bool, not float32"),
        ("logits.sum(1) / 0", "of cnn at init is not finite on the first 64"),
        ("logits.no_such", "net.py:loss raised AttributeError"),
        ("3", "gives <class 'int'> for a batch of 64"),
        (
            "functional.cross_entropy(logits, labels, reduction='none').detach()",
            "nothing of it can be trained",
        ),
    ],
)
def test_a_loss_that_is_none_is_refused(here, subset, code, words):
    code = f"def loss(logits, labels):\n    return {code}\n"
    fields = 'model="cnn", loss="net.py:loss",'
    assert words in call(subset, code, fields=fields)
    assert not list(Path("results").rglob("rows/*"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('model="absent.py:make",', "there is no file absent.py"),
        ('model="absent_of_test.net:make",', "there is no module absent_of_test"),
        ('model="net.py:make", hidden=(8,),', "only mlp has it"),
        ('model="nothing",', "use mlp, cnn, FILE.py:NAME"),
    ],
)
def test_a_name_of_nothing_is_refused(here, subset, fields, words):
    assert words in call(subset, f"make = {LINEAR}", fields=fields)


NORM = make("nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))")


def test_a_last_batch_of_one_sample_is_refused_for_batch_norm(here, subset):
    """230 samples in batches of 229; and of a phase that breaks off."""
    words = (
        "the last batch of 230 samples: net.py:make cannot be trained on a batch of 1"
    )
    assert words in call(subset, NORM, size=229)
    phase = Phase(batch_size=64, learning_rate=0.1, samples=65)
    config = TrainConfig(phases=(phase,), dataset=subset.name, model="net.py:make")
    with pytest.raises(ValueError, match="the last batch of 65 samples"):
        run(TrainSweep(configs=(config,)), local=True)
    call(subset, NORM, size=64, status=0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_sizes": (1, 8)}, "regime 'early', draws at batch size 1"),
        ({"layers": (1,)}, "layers=(1,) of net.py:make; use -1 to 0, of 2.weight"),
        ({"layers": (-1, 0)}, "give each once"),
    ],
)
def test_draws_that_cannot_be_taken_are_refused(here, subset, fields, words):
    Path("net.py").write_text(HEAD + NORM)
    start = subset.config((64, 0.1, 1), model="net.py:make", hidden=(1024, 1024))
    fields = {"batch_sizes": (8,), "num_draws": 2, "num_samples": 16} | fields
    with pytest.raises(ValueError, match=re.escape(words)):
        run(GradientSweep(regimes={"early": start}, **fields), local=True)


def test_a_frozen_layer_is_not_drawn_and_only_biases_may_be_trained(here, subset):
    freeze = "self.last.weight.requires_grad_(False)"
    call(subset, forward(init=freeze), status=0)
    start = subset.config((64, 0.1, 1), model="net.py:make", hidden=(1024, 1024))
    sweep = GradientSweep(
        regimes={"early": start}, batch_sizes=(8,), num_draws=2, num_samples=16
    )
    with pytest.raises(ValueError, match=r"last\.weight is frozen"):
        run(sweep, local=True)


READS = """
from pathlib import Path

def make(num_classes):
    tanh = [nn.Tanh()] * int(Path("w.txt").read_text())
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes), *tanh)
"""


def test_what_the_files_do_not_show_is_caught_by_the_guard(here, subset):
    """Also under another name of the same file, and by other seeds and optimizers."""
    Path("w.txt").write_text("0")
    call(subset, READS, status=0)
    store = open_store("results")
    before = store.read_rows().to_pylist(), sorted(Path("results").rglob("*"))
    Path("w.txt").write_text("1")
    for name in ("net.py:make", f"{Path.cwd()}/net.py:make"):
        fields = f'model={name!r}, seed=4, optimizer="adam",'
        output = call(subset, READS, fields=fields)
        assert f"{name} is not the network that" in output
        assert "the loss on a fixed batch: 2." in output
        assert re.search(r"\d before, [\d.]+ now", output)
        assert "It depends on something outside its code" in output
    assert (store.read_rows().to_pylist(), sorted(Path("results").rglob("*"))) == before
    Path("w.txt").write_text("0")
    call(subset, READS, status=0)


def test_inits_of_the_mlp_with_another_loss_are_two_networks(here, subset):
    """Not one that has changed."""
    code = (
        "def loss(logits, labels):\n"
        "    return functional.cross_entropy(logits, labels, reduction='none')\n"
    )
    call(subset, code, fields='hidden=(8,), loss="net.py:loss",', status=0)
    config = subset.config(
        (64, 0.1, 1), hidden=(8,), loss="net.py:loss", init="he_uniform"
    )
    frames = run(TrainSweep(configs=(config,)), local=True)
    assert list(frames.trials["status"]) == ["complete"]


def test_code_that_changes_between_plan_and_training_is_not_trained(
    here, subset, monkeypatch
):
    from raybs.launch import local

    probe = local.prepare

    def edited(num_threads):
        Path("net.py").write_text(HEAD + f"make = {LINEAR}\nmore = 1\n")
        probe(num_threads)

    monkeypatch.setattr(local, "prepare", edited)
    output = call(subset, f"make = {LINEAR}", status=2)
    assert "net.py:make has changed since the plan was made" in output
    assert not list(Path("results").rglob("rows/*"))


def test_tied_weights_are_stored_once(here, subset):
    tie = "self.other = nn.Linear(784, num_classes)\n        "
    tie += "self.other.weight = self.last.weight"
    call(subset, forward("h = h + self.other(x.flatten(1))", init=tie), status=0)
    [row, *_] = open_store("results").read_rows().to_pylist()
    assert len(row["layer_distance"]) == 1


GUARDED = """
from pathlib import Path

def make(num_classes):
    rate, momentum = map(float, Path("numbers.txt").read_text().split())
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8, momentum=momentum),
        nn.Dropout(rate), nn.Linear(8, num_classes),
    )
"""


@pytest.mark.parametrize("now", ["0.6 0.1", "0.1 0.9"])
def test_the_guard_sees_what_only_training_does(here, subset, now):
    Path("numbers.txt").write_text("0.1 0.1")
    call(subset, GUARDED, status=0)
    Path("numbers.txt").write_text(now)
    assert "It depends on something outside its code" in call(subset, GUARDED)


SCALED = """
class make(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.last = nn.Linear(784, num_classes)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.scale * self.last(x.flatten(1))
"""


def test_a_parameter_may_be_a_scalar(here, subset):
    call(subset, SCALED, status=0)


IN_PLACE = forward("h = h.exp(); g = h.sum(1, keepdim=True) * h; h += 1; h = h + g")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (IN_PLACE, "has no gradient on its first 64 training samples"),
        (
            forward(
                init="self.register_buffer('a', torch.ones(1)); "
                "self.last.register_buffer('b', self.a)"
            ),
            "is also another module's buffer; give each its own",
        ),
    ],
)
def test_what_training_would_trip_over_is_said_before(here, subset, code, words):
    assert words in call(subset, code)


def test_a_batch_of_one_sample_need_not_be_possible(here, subset):
    code = forward("assert len(x) > 1")
    call(subset, code, status=0)


def test_what_a_module_does_to_its_input_stays_its_own(here, subset):
    """In training it gets copies; so it does when it is tried and measured."""
    call(
        subset, forward(init="pass").replace("h = self", "x *= 0.5; h = self"), status=0
    )
