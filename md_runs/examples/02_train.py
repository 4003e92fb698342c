"""Train a small SchNet on 200 frames of C20, continue it, and measure it.

    python 02_train.py        (seconds; leaves model and history in example_training/)

The same settings as a YAML file: `mlpotential train`, see md_runs/c20/train.yaml.
"""

from dataclasses import replace

from md_runs.c20.settings import HERE
from mlpotential import SchNetConfig
from mlpotential.training.config import DataConfig, RunConfig, TrainingConfig
from mlpotential.training.evaluation.evaluate import evaluate_model
from mlpotential.training.report import format_errors
from mlpotential.training.run import run_training

test_file = HERE / "data" / "c20_test.extxyz.gz"
data = DataConfig(
    path=str(HERE / "data" / "c20_validation.extxyz.gz"),
    energy_unit="eV",
    length_unit="Angstrom",
    n_train=200,
    n_validation=50,
)
model = SchNetConfig(
    n_features=32, n_interactions=2, rbf_stop=6.0, cutoff_function="cosine", cutoff=6.0
)
training = TrainingConfig(batch_size=8, learning_rate=3e-3, max_epochs=6, device="cpu")
config = RunConfig(data, model, training=training, folder="example_training")
run_training(config)

# More epochs continue the same run; interrupting it at any moment loses nothing either.
result = run_training(replace(config, training=replace(training, max_epochs=10)))
evaluation = evaluate_model(
    result.model_path, test_file, energy_unit="eV", length_unit="Angstrom", device="cpu"
)
print(format_errors({"test": evaluation.errors}))
