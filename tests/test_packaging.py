"""What is installed is what the checkout holds, and it works outside of it."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEARNED = {
    "scenequilt.alignment": "learned network objective samples",
    "scenequilt.ordering": "depth_network depth_objective depth_samples learned network objective "
    "samples",
    "scenequilt.synthesis": "boundaries discriminator drawing interface losses multiscale network "
    "objective painting photograph_samples refinement resail resail_finish samples sims_finish",
    "scenequilt.synthesis.baselines": "baseline crn pi_rec pix2pix pix2pixhd spade",
    "scenequilt.synthesis.completion": "network objective samples",
    "scenequilt.tools": "generator_painter",
    "scenequilt.tools.benchmarks": "generators ordering synthesis",
}
"""Modules of the learned stages, which need PyTorch; the closed path imports none of them."""

NAMES = [f"{package}.{name}" for package, names in LEARNED.items() for name in names.split()]
IMPORT_EVERYTHING = (
    f"LEARNED = {NAMES}\n"
    + """
import importlib, pathlib, pkgutil, sys
import scenequilt.memory_bank
root = pathlib.Path(scenequilt.memory_bank.__file__).parents[1]
assert "site-packages" in str(root), root
names = [m.name for m in pkgutil.walk_packages([str(root)], "scenequilt.")]
imported = 0
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What judges and trains networks needs its extra; nothing else may.
        assert name.split(".")[2] in {"evaluation", "training", "experiments"} or name in LEARNED, name
        assert error.name in {"torch", "safetensors", "matplotlib"}, (name, error)
    else:
        imported += 1
print(imported)
"""
)


def test_pyproject_lists_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        "scenequilt." + ".".join(path.parent.relative_to(ROOT).parts)
        for top in settings["package-dir"].values()
        for path in (ROOT / top).rglob("__init__.py")
    }

    assert set(settings["packages"]) == folders


def test_nothing_pulls_torchvision_in() -> None:
    wanted = {
        requirement.split(";")[0].split("[")[0].strip()
        for requirement in importlib.metadata.requires("scenequilt") or []
    }

    assert not any(name.startswith("torchvision") for name in wanted)


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["bank", "--help"],
        ["bank", "build", "--help"],
        ["compose", "--help"],
        ["layouts", "--help"],
        ["evaluate", "--help"],
        ["train", "segmenter", "--help"],
        ["study", "make", "--help"],
    ],
)
def test_help_imports_nothing_slow(argv: list[str]) -> None:
    script = (
        "import sys\n"
        "from scenequilt.tools.cli import main\n"
        "try:\n"
        f"    main({argv!r})\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0, stop.code\n"
        "slow = {'cv2', 'numba', 'h5py', 'faiss', 'skimage', 'scipy', 'torch', 'rich',\n"
        "        'matplotlib', 'torchmetrics'}\n"
        "print('imported:', sorted(slow & set(sys.modules)))\n"
    )

    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    assert printed.endswith("imported: []\n")


def test_wheel_works_in_an_empty_environment_without_faiss(tmp_path: Path) -> None:
    """Through the source archive, as CI and users build it; then the main job on toytown."""
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(
        python, "-m", "pip", "install", "-q", "--no-compile", wheel, "-c", constraints, cwd=tmp_path
    )

    modules = run(python, "-c", IMPORT_EVERYTHING, cwd=tmp_path)
    command = python.with_name("scenequilt")
    run(command, "toytown", "--out", "town", "--count", "16", "--size", "96x192", cwd=tmp_path)
    run(command, "bank", "build", "town", "--out", "bank", "--split", "train", cwd=tmp_path)
    layout = min((tmp_path / "town" / "labels" / "train").glob("*.png"))
    run(command, "compose", layout, "--bank", "bank", "--out", "made", cwd=tmp_path)

    judged = subprocess.run(
        [command, "evaluate", "--generated", "made", "--out", "judged"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert int(modules) > 30
    assert judged.returncode == 2
    assert "needs torch, which is not installed" in judged.stderr
    assert "pip install 'scenequilt[evaluation]'" in judged.stderr
    assert len(list((tmp_path / "made").rglob("image.png"))) == 1


def run(*argv: object, cwd: Path) -> str:
    """Run a command outside of the checkout, with its output in the message if it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{argv[0]} {argv[1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout
