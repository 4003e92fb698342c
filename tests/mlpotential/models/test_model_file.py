"""Model files: nothing is lost in them, and nothing wrong is loaded from them."""

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from mlpotential import testing
from mlpotential.errors import ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.models import model_file
from mlpotential.models.model_file import GoldenCheck, check_golden, load_model, save_model
from mlpotential.training.report import describe_model


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_save_load_equal(potential, ethanol, tmp_path, dtype):
    potential = potential.to(dtype)
    graph = AtomGraph.from_atoms(ethanol)
    save_model(tmp_path / "m.safetensors", potential, graph)
    loaded = load_model(tmp_path / "m.safetensors").potential
    assert loaded.dtype == dtype
    assert loaded.elements == potential.elements
    assert loaded.config == potential.config
    before, after = testing.predict(potential, graph), testing.predict(loaded, graph)
    assert torch.equal(before.energy, after.energy)
    assert torch.equal(before.forces, after.forces)


def test_same_content_same_bytes(potential, ethanol, tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / name, potential, AtomGraph.from_atoms(ethanol))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_record_and_golden_structures(model_path, ethanol):
    model = load_model(model_path)
    assert model.record.title == "a test"
    assert model.record.shortest_distances["C-H"] == 0.01
    np.testing.assert_array_equal(model.golden.positions.numpy(), ethanol.positions)
    assert check_golden(model).passed
    assert check_golden(model, dtype="float32").passed


def test_check_notices_a_wrong_network(model_path):
    model = load_model(model_path)
    with torch.no_grad():
        model.potential.embedding.weight += 0.01
    assert not check_golden(model).passed


def test_golden_structures_of_a_crystal(potential, diamond, tmp_path):
    save_model(tmp_path / "m", potential, AtomGraph.from_atoms(diamond))
    model = load_model(tmp_path / "m")
    assert model.golden.cell is not None
    assert check_golden(model).passed


def test_file_replaced_while_in_use(model_path, ethanol):
    loaded = load_model(model_path).potential
    model_path.write_bytes(b"something else")
    assert torch.isfinite(testing.predict(loaded, AtomGraph.from_atoms(ethanol)).energy)


def refused(path, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_missing_or_folder(tmp_path):
    refused(tmp_path / "absent.safetensors", "No such file")
    refused(tmp_path, "Is a directory")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"plain text, long enough to have a header",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 8) + b'{"a":[1]' + b"rest",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        np.random.default_rng(0).bytes(5000),
        pickle.dumps({"weights": [1.0]}),
    ],
    ids=[
        "empty",
        "short",
        "text",
        "huge-header",
        "no-metadata",
        "bad-json",
        "deep",
        "random",
        "pickle",
    ],
)
def test_other_files(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    refused(tmp_path / "m", "not a model file of this program")


def test_pickle_bomb_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"model": Bomb()}, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "not a model file")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("fraction", [0.3, 0.9, 0.999])
def test_truncated(model_path, fraction):
    content = model_path.read_bytes()
    model_path.write_bytes(content[: int(len(content) * fraction)])
    refused(model_path, "damaged|not a model file")


def test_every_flipped_bit_is_noticed(model_path):
    content = bytearray(model_path.read_bytes())
    for position in np.random.default_rng(0).integers(0, len(content), 200):
        content[position] ^= 4
        model_path.write_bytes(content)
        refused(model_path, ".")
        content[position] ^= 4
    model_path.write_bytes(content)
    load_model(model_path)


def rewrite(path, change_metadata=None, change_tensors=None):
    """The file with other content and a hash that fits it: a wrong file, not a damaged one."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["mlpotential"])
    tensors = load(content)
    if change_metadata:
        change_metadata(metadata)
    if change_tensors:
        change_tensors(tensors)
    metadata.pop("sha256")
    metadata["sha256"] = model_file._content_hash(tensors, metadata)
    path.write_bytes(save(tensors, {"mlpotential": json.dumps(metadata)}))


def test_newer_format(model_path):
    rewrite(model_path, lambda m: m.update(format_version=99))
    refused(model_path, "format version 99, this program reads 1")


def test_other_units(model_path):
    rewrite(model_path, lambda m: m["units"].update(energy="Hartree"))
    refused(model_path, "Hartree.*expected")


def test_unknown_architecture(model_path):
    rewrite(model_path, lambda m: m.update(architecture="SchNett"))
    refused(model_path, "Did you mean 'SchNet'")


def test_unknown_setting(model_path):
    rewrite(model_path, lambda m: m["settings"].update(n_feature=3))
    refused(model_path, "n_feature")


@pytest.mark.parametrize("name", ["elements", "dtype", "settings", "units", "format_version"])
def test_missing_metadata(model_path, name):
    rewrite(model_path, lambda m: m.pop(name))
    refused(model_path, name + "|not a model file")


def test_missing_and_surplus_tensors(model_path):
    def change(tensors):
        tensors["network/main/embeding.weight"] = tensors.pop("network/main/embedding.weight")

    rewrite(model_path, change_tensors=change)
    refused(model_path, r"missing: \['embedding.weight'\]; surplus: \['embeding.weight'\]")


def test_wrong_shape(model_path):
    rewrite(model_path, lambda m: m["settings"].update(n_features=16))
    refused(model_path, "its architecture needs")


def test_wrong_dtype(model_path):
    def change(tensors):
        name = "network/main/embedding.weight"
        tensors[name] = tensors[name].float()

    rewrite(model_path, change_tensors=change)
    refused(model_path, "float32.*needs torch.float64")


def test_nan_weights(model_path):
    def change(tensors):
        tensors["network/main/readout.output.bias"].fill_(float("nan"))

    rewrite(model_path, change_tensors=change)
    refused(model_path, "readout.output.bias holds NaN")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_features": 10**9}, "model.n_features must be from 1 to"),
        ({"n_features": 9_999}, "its architecture needs"),  # 1 GB that is never asked for
        ({"n_interactions": 10**9}, "model.n_interactions must be from 1 to 100"),
        ({"max_atomic_number": 10**12}, "from 1 to 118"),
        ({"rbf_spacing": 1e-12}, "from 2 to 100000"),
        ({"rbf_stop": 1e300}, "from 2 to 100000"),
        ({"n_features": "8"}, "describes no network"),
        ({"cutoff": 4.0}, "two cutoffs"),
        *(
            ({"cutoff": cutoff}, "model.cutoff must be a positive radius from 0.1 to 1000 A, not")
            for cutoff in (1e308, 1e-300, 10**11, 10**400, True, "5", None, -5.0, 0.05, 1001)
        ),
        ({"rbf_gamma": 1e-300}, "rbf_gamma must be from 1e-06 to 1e"),
        ({"rbf_stop": 1e5, "rbf_spacing": 10.0}, "rbf_stop must be at most 1000 A"),
        ({"rbf_stop": True}, "rbf_stop must be a distance beyond"),
        ({"n_features": True}, "n_features must be from 1 to"),
        ({"n_interactions": 2.0}, "n_interactions must be from 1 to"),
        ({"dipole": True}, "no setting 'dipole'"),  # of files of version 1
    ],
)
def test_hostile_settings(model_path, change, message):
    rewrite(model_path, lambda m: m["settings"].update(change))
    refused(model_path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dipole": {"total_charge": 1e300}}, "must be a finite charge"),
        ({"dipole": {"total_charge": False}}, "must be a finite charge"),
        ({"energy": {"n_hidden": 10**12}}, "from 1 to 10000"),
        ({"energy": {"pooling": "sum"}}, "pooling must be none of a quantity known by name"),
        ({"gap": {"pooling": "mean"}}, "gap is a scalar, and needs"),
        ({"forces": {}}, "no output can be named 'forces'"),
        ({"a/b": {"pooling": "sum", "unit": "eV"}}, "no output can be named 'a/b'"),
        ({"energy": 3}, "describes no network"),
        ({"dipole": {}}, "tensors missing"),
    ],
)
def test_hostile_outputs(model_path, change, message):
    rewrite(model_path, lambda m: m["outputs"].update(change))
    refused(model_path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": [1, 101]}, "elements"),
        ({"elements": []}, "elements"),
        ({"elements": ["H"]}, "describes no network"),
        ({"elements": [1, 6.7, 8]}, r"elements must be whole numbers, not \[1, 6.7, 8\]"),
        ({"elements": [1.0, 6, 8]}, "elements must be whole numbers"),
        ({"elements": ["1", 6, 8]}, "elements must be whole numbers"),
        ({"elements": [True, 6, 8]}, "elements must be whole numbers"),
        ({"elements": 6}, "describes no network"),
        ({"elements": [1, 6, 6, 8]}, r"an element twice: \[1, 6, 6, 8\]"),
        ({"cutoff": True}, "two cutoffs"),
        ({"dtype": "float16"}, "float16"),
        ({"dtype": "nn"}, "dtype 'nn'"),
        ({"cutoff": None}, "two cutoffs"),
        ({"training": [1]}, "'training' is not a dict"),
        ({"title": 3}, "'title' is not a str"),
    ],
)
def test_hostile_metadata(model_path, change, message):
    rewrite(model_path, lambda m: m.update(change))
    refused(model_path, message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("positions", torch.zeros(2, 3, dtype=torch.float64)),
        ("positions", torch.full((9, 3), torch.nan, dtype=torch.float64)),
        ("atomic_numbers", torch.full((9,), 79)),
        ("atomic_numbers", torch.full((9,), 6.0)),
        ("graph_index", torch.full((9,), 1)),
        ("graph_index", torch.full((9,), 10**12)),
        ("pbc", torch.tensor(True)),
        ("energy", torch.zeros(0, dtype=torch.float64)),
    ],
)
def test_golden_structures_that_are_none(model_path, name, value):
    rewrite(model_path, change_tensors=lambda t: t.update({f"golden/{name}": value}))
    refused(model_path, "golden|not finite")


def test_not_a_number_in_the_metadata(model_path):
    content = model_path.read_bytes()
    model_path.write_bytes(content.replace(b'\\"C-H\\":0.01', b'\\"C-H\\":NaN '))
    refused(model_path, "damaged")


def test_record_of_another_kind(model_path):
    rewrite(model_path, lambda m: m.update(errors={"test": {"mae": 1.0}}))
    with pytest.raises(ModelFileError, match="record in the model file cannot be read"):
        describe_model(load_model(model_path))


def test_words_of_a_file_do_not_steer_the_terminal(model_path):
    """Escape sequences, bells and other lines in whatever a person may read of it."""
    bad = "a\x1b]0;owned\x07\x9b2J\u202e\r\nsha256: none"
    origin = {"n_structures": 1, "source": bad}
    record = {"data": {bad: origin}, "converted_from": {"program": bad}}
    rewrite(model_path, lambda m: m.update(title=bad, training=record, golden_origin=bad))
    text = describe_model(load_model(model_path))
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert text.count(r"a\x1b]0;owned\x07\x9b2J\u202e sha256: none") == 5
    assert sum(line.startswith("sha256:") for line in text.splitlines()) == 1
    rewrite(model_path, lambda m: m["settings"].update({"\x1b[31m": 1}))
    with pytest.raises(ModelFileError) as refusal:
        load_model(model_path)
    assert str(refusal.value).isprintable()


def test_loading_draws_no_random_numbers(model_path):
    state = torch.get_rng_state()
    load_model(model_path)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("deviations", [(np.nan, 0.0), (0.0, np.nan), (1e-3, 0.0), (0.0, 1e-3)])
def test_check_that_did_not_pass(deviations):
    energy, dipole = deviations
    relative = {"forces": 0.0, "dipole": dipole}
    assert not GoldenCheck(energy, relative, tolerance=1e-4).passed
