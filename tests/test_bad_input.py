"""Whatever is given, one message and exit status 2, or a run: no traceback, hang or remains."""

from __future__ import annotations

import io
import resource
import shutil
import signal
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pyro_vae import VAE
from pyro_vae.cli.app import app, guarded
from pyro_vae.core.errors import DeclarationError, PyroVAEError
from pyro_vae.core.schema import arguments_model
from pyro_vae.experiment import run
from pyro_vae.experiment.declaration import FAMILIES, Experiment
from pyro_vae.experiment.yaml_file import dump, override
from pyro_vae.training.settings import TrainSettings

SECONDS = 20  # an example, at most
GIGABYTES = 3  # beyond what the process has
pytestmark = pytest.mark.filterwarnings("ignore")

# No whole number from 4 to 2^31: what is valid would be trained, for ever.
NUMBERS = [-1, 0, 1, 3, 2**31, 2**32, 2**63, 2**64, 10**30, 10**400, -(2**63) - 1]
REALS = [0.0, -0.0, 1e-3, -0.5, 1e-46, 1e38, 1e39, 1e308, float("nan"), float("inf")]
WORDS = ["", "~", "null", "a\0b", "\x1b[31m", "\ud800", "../..", "~nosuchuser/x", "/dev/zero", ".",
         "é" * 300]  # fmt: skip
TEXTS = ["2020-13-45", "2020-01-01", "!!int x", "!!python/object:os.system x", "&a [*a]", "*b",
         "<<: 1", "[" * 3000, "{a: " * 3000, "9" * 5000, "1:60", "!!binary x", "? [a]\n: 1", "0x",
         "!!set {a}", "!!omap [1]", "\t", "%", "@", "'", "- - -",
         "{kind: mlp, hidden: [-1]}"]  # fmt: skip
KINDS = [kind for family in FAMILIES.values() for kind in family.kinds()]
PATHS = [
    *(f"train.{name}" for name in TrainSettings.model_fields),
    *("data", "model", "guide", "train", "objective", "model.latent_dim", "model.event_shape"),
    *(f"data.{name}" for name in ("kind", "path", "key", "labels", "test", "seed", "validation",
                                  "binarization", "standardize", "root", "columns", "delimiter")),
    *(f"{part}.{name}" for part in ("model.prior", "model.likelihood", "model.decoder",
                                    "guide.posterior", "guide.encoder", "objective",
                                    "train.schedule")
      for name in ("kind", "hidden", "scale", "components", "transforms", "df", "activation",
                   "particles", "beta", "alpha", "warm_up", "milestones", "top", "rank")),
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(REALS), st.sampled_from(WORDS), st.text(max_size=8),
    st.sampled_from(KINDS), st.none(), st.booleans(),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["kind", "hidden", "scale", "particles"]) | scalars, inner, max_size=3
    ),
    max_leaves=6,
)  # fmt: skip
words = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(WORDS), st.sampled_from(KINDS), st.text(max_size=12),
    st.sampled_from(NUMBERS + REALS).map(lambda number: f"{number}"[:400]),
)  # fmt: skip
overrides = st.builds("{}={}".format, st.sampled_from(PATHS) | st.text(max_size=6), words)
ARGUMENTS = [
    (path, kind, name)
    for path, family in {
        "model.prior": "prior", "model.likelihood": "likelihood", "guide.posterior": "posterior",
        "model.decoder": "network", "guide.encoder": "network", "objective": "objective",
        "train.schedule": "schedule", "data": "data",
    }.items()
    for kind, cls in FAMILIES[family].kinds().items()
    if kind not in ("huggingface", "torchvision")  # which may download
    for name in (*arguments_model(cls).model_fields, "kind")
    if name != "download"
]  # fmt: skip
FILES = ["manifest.json", "metrics.json", "experiment.yaml", "weights.safetensors"]
cases = st.one_of(
    st.tuples(st.just("overrides"), st.lists(overrides, min_size=1, max_size=3)),
    st.tuples(st.just("arguments"), st.lists(words, min_size=1, max_size=3)),
    st.tuples(st.just("file"), st.binary(max_size=60) | st.sampled_from(TEXTS).map(str.encode)),
    st.tuples(st.just("declaration"), st.tuples(st.sampled_from(PATHS), values)),
    st.tuples(st.just("argument"), st.tuples(
        st.sampled_from(ARGUMENTS), words)),
    st.tuples(st.just("python"), st.tuples(values, values, values)),
    st.tuples(st.just("settings"), st.dictionaries(
        st.sampled_from([*TrainSettings.model_fields, "other"]), values, max_size=3)),
    st.tuples(st.just("folder_"), st.tuples(
        st.sampled_from(FILES), st.sampled_from(["cut", "flip", "gone", "put", "link"]),
        st.binary(max_size=40), st.sampled_from(["evaluate", "generate", "audit"]))),
)  # fmt: skip


@contextmanager
def bounded():
    """Time and memory, as of a small machine."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTES * 10**9, before[1]))
    handler = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"no end in {SECONDS} s"))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def command(*arguments):
    """The exit status of a command, and what it said on stderr."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        status = guarded(lambda: app([str(a) for a in arguments], standalone_mode=False))
    assert status in (0, 1, 2), (status, said.getvalue()[-400:])
    assert "Traceback" not in said.getvalue()
    assert "\x1b[31m" not in said.getvalue().replace("\x1b[31m\x1b[1merror", "")
    return status, said.getvalue()


class Bench:
    """Tries a case, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.number, self.ends = folder, count(), Counter()
        rng = np.random.default_rng(0)
        np.save(folder / "x.npy", rng.random((24, 4), dtype=np.float32))
        self.start = [f"data.path={folder / 'x.npy'}", "data.kind=array", "train.epochs=1"]
        self.run = folder / "run"
        assert self.train(self.start, self.run)[0] == 0

    def train(self, arguments, out):
        return command("train", *arguments, "--no-audit", "-q", "--out", out)

    def attempt(self, kind, case):
        out = self.folder / f"out{next(self.number)}"
        with bounded():
            end = getattr(self, kind)(case, out)
        self.ends[kind, end] += 1
        shutil.rmtree(out, ignore_errors=True)

    def trained(self, arguments, out):
        status, said = self.train(arguments, out)
        kept = "weights of the last good step" in said  # a loss that was not finite
        assert (status == 2) <= (kept or not out.exists()), said
        return status

    def overrides(self, case, out):
        return self.trained([*self.start, *case], out)

    def argument(self, case, out):
        (path, kind, name), text = case
        more = [] if name == "kind" else [f"{path}.{name}={text}"]
        return self.trained([*self.start, f"{path}.kind={kind}", *more], out)

    def arguments(self, case, out):
        plain = [word for word in case if word not in ("digits", "mnist")]
        status, _ = command(*plain, "--out", out)
        return status

    def file(self, content, out):
        path = self.folder / "given.yaml"
        path.write_bytes(content)
        return self.trained([path], out)

    def declaration(self, case, out):
        path, value = case
        mapping = override({}, self.start)
        *above, last = path.split(".")
        section = mapping
        for step in above:
            section = section.setdefault(step, {})
        section[last] = value
        try:
            assert Experiment.read(mapping).mapping
        except PyroVAEError:
            return "refused"
        (self.folder / "given.yaml").write_text(dump(mapping), "utf-8", "surrogatepass")
        return self.trained([self.folder / "given.yaml"], out)

    def python(self, case, out):
        shape, latent, prior = case
        end = "built"
        for arguments, part in (((4,), 2), prior), ((shape, latent), "standard_normal"):
            try:
                VAE(*arguments, prior=part)
            except PyroVAEError:
                end = "refused"
        return end

    def settings(self, case, out):
        try:
            TrainSettings.checked(**case)
        except DeclarationError:
            return "refused"
        return "taken"

    def folder_(self, case, out):
        name, how, content, verb = case
        shutil.copytree(self.run, out)
        path = out / name
        whole = bytearray(path.read_bytes())
        if how == "flip":
            whole[len(content) % len(whole)] ^= 1 + len(content)
        if how in ("gone", "link"):
            path.unlink()
        if how == "link":
            path.symlink_to("/dev/zero")
        elif how != "gone":
            path.write_bytes({"cut": whole[: len(content)], "put": content}.get(how, whole))
        if verb == "generate" and name == "metrics.json":
            verb = "evaluate"  # which reads it
        options = ["--out", self.folder / "s.npy"] if verb == "generate" else []
        status, said = command(verb, out, *options)
        assert status == 2 or name == "manifest.json", said  # that of the same hashes, say
        return status


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "pictures_of", lambda *_: {})
        yield Bench(tmp_path_factory.mktemp("bench"))


QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@seed(0)
@settings(max_examples=150, **QUIET)
@given(case=cases)
def test_nothing_ends_in_a_traceback(bench, case):
    bench.attempt(*case)


@pytest.mark.slow
def test_nothing_ends_in_a_traceback_in_2000_cases(bench):
    before = bench.ends.total()

    @settings(max_examples=2000, **QUIET)
    @given(case=cases)
    def each(case):
        bench.attempt(*case)

    each()
    print(f"{bench.ends.total() - before} cases: {dict(bench.ends)}")
