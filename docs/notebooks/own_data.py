# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From your own calculations to a model
#
# Structures with energies and forces of one level of theory become a model file with its errors
# on structures it has not seen. The data here are those of the ethanol model (GFN2-xTB); put
# your own file into `FRAMES`. `mlpotential train` does the same from a YAML file.

# %%
# %matplotlib inline
import csv
import gzip
from dataclasses import replace
from pathlib import Path

from ase.io import read, write
from matplotlib.figure import Figure

from calculators import MLPotentialCalculator
from md_runs.ethanol import STRUCTURE
from md_runs.relax import relax
from mlpotential import SchNetConfig
from mlpotential.training.config import DataConfig, RunConfig, TrainingConfig
from mlpotential.training.evaluation.evaluate import evaluate_model
from mlpotential.training.evaluation.parity_plot import plot_parity
from mlpotential.training.report import format_errors
from mlpotential.training.run import run_training

FRAMES, TEST = Path("frames.extxyz"), Path("test.extxyz")
EPOCHS = 8  # 100 and more for a model to use

# %% [markdown]
# ## The data
#
# Test frames come from another trajectory than training frames: frames from in between would
# flatter.

# %%
data = Path(STRUCTURE).parent / "data"
for name, file in (("validation", FRAMES), ("test", TEST)):
    file.write_bytes(gzip.decompress((data / f"ethanol_{name}.extxyz.gz").read_bytes()))
frames = read(FRAMES, ":300")
longest = [abs(atoms.get_forces()).max() for atoms in frames]
print(f"{len(frames)} frames of {frames[0].symbols}")
print(f"longest forces {min(longest):.2f} to {max(longest):.2f} eV/A")
write(FRAMES, frames)
write(TEST, read(TEST, "::10"))

# %% [markdown]
# ## Training
#
# Units are told, never guessed; a wrong one is noticed, since forces are the slope of energies.
# Interrupt the kernel whenever you like: the same cell continues.

# %%
config = RunConfig(
    DataConfig(
        path=str(FRAMES),
        energy_unit="eV",
        length_unit="Angstrom",
        n_train=240,
        n_validation=60,
        atom_references="none",
    ),
    SchNetConfig(
        n_features=32, n_interactions=2, cutoff=5.0, rbf_stop=5.0, cutoff_function="cosine"
    ),
    training=TrainingConfig(
        batch_size=8, learning_rate=2e-3, max_epochs=EPOCHS, device="cpu", energy_weight=0.01
    ),
    folder="own_data_notebook",
)
result = run_training(config)
print(format_errors(result.errors))

# %% [markdown]
# More epochs continue the same training; other settings need another folder.

# %%
more = replace(config, training=replace(config.training, max_epochs=EPOCHS + 4))
result = run_training(more)

# %%
with (Path(config.folder) / "history.csv").open() as file:
    history = list(csv.DictReader(file))
axes = Figure(figsize=(6, 3.5), layout="constrained").subplots()
for name in ("train_loss", "validation_loss"):
    axes.semilogy([int(row["epoch"]) for row in history], [float(row[name]) for row in history])
axes.set(xlabel="epoch", ylabel="loss")
axes.legend(["training", "validation"], frameon=False)
axes.figure

# %% [markdown]
# ## How good it is
#
# Errors on frames it has not seen, and each force beside its reference.

# %%
evaluation = evaluate_model(
    result.model_path, TEST, energy_unit="eV", length_unit="Angstrom", device="cpu"
)
print(format_errors({"test": evaluation.errors}))
axes = Figure(figsize=(4.5, 4.2), layout="constrained").subplots()
plot_parity(
    evaluation.values["forces"], "forces", "eV/A", evaluation.errors.forces_mae, axes
).figure

# %% [markdown]
# ## Using it

# %%
atoms = read(STRUCTURE)
atoms.calc = MLPotentialCalculator(result.model_path)
relaxed, how = relax(atoms, force_tolerance=0.01)
print(f"{how.n_steps} steps to {relaxed.get_potential_energy():.3f} eV")
