"""The kernel file says what the model file says."""

import ctypes
import zlib

import numpy as np
import pytest

from calculators.lammps.export import export
from mlpotential.errors import ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.pair_graph import PairGraph, address
from mlpotential.inference.schnet import kernel
from mlpotential.models.dtnn import DTNN
from mlpotential.models.dtnn_config import DTNNConfig
from mlpotential.models.model_file import load_model, save_model
from mlpotential.models.terms.settings import TermSettings
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet

needs_kernel = pytest.mark.skipif(
    not kernel.available_instruction_sets(), reason="there is no compiled kernel"
)


def read_kernel_file(content: bytes):
    """Fields of the text, and arrays by name."""
    text, _, rest = content.partition(b"\nend ")
    crc, _, body = rest.partition(b"\n")
    assert int(crc) == zlib.crc32(body, zlib.crc32(text + b"\n"))
    fields, arrays = {}, {}
    for line in text.decode().splitlines()[1:]:
        name, _, value = line.partition(" ")
        if name != "array":
            fields[name] = value
            continue
        name, dtype, size = value.split()
        array = np.frombuffer(body, dtype, int(size))
        arrays[name], body = array.astype(float), body[array.nbytes :]
    assert not body
    return fields, arrays


def energies_of(content: bytes, graph: PairGraph, positions: np.ndarray) -> np.ndarray:
    """Of atoms, by the kernel from the file alone."""
    fields, arrays = read_kernel_file(content)
    library = kernel.load(kernel.library_path(kernel.available_instruction_sets()[-1]))
    values = {}
    for name, kind in kernel.SchNetModel._fields_:
        if name in fields:
            values[name] = (int if kind is ctypes.c_int64 else float)(fields[name])
        elif name in arrays:
            values[name] = address(arrays[name], np.float64)
    model = kernel.SchNetModel(**values)
    network = library.schnet_create(ctypes.byref(model), int(fields["bytes_per_number"]))
    structures = kernel.SchNetGraph(
        n_graphs=1, n_atoms=graph.n_atoms, positions=address(positions, np.float64),
        **graph.addresses,
    )  # fmt: skip
    energies = np.empty(graph.n_atoms)
    result = kernel.SchNetResult(atomic_energies=address(energies, np.float64))
    library.schnet_evaluate(network, ctypes.byref(structures), 1, ctypes.byref(result))
    library.schnet_destroy(network)
    return energies


@needs_kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(dtype, model_path, ethanol, tmp_path):
    """The kernel, from the file alone, gives the very energies of the evaluator."""
    output = tmp_path / "model.mlpk"
    exported = export(model_path, output, dtype)
    content = output.read_bytes()
    assert exported.symbols == ("H", "C", "O")
    assert exported.megabytes == len(content) / 1e6
    fields, _ = read_kernel_file(content)
    assert fields["interface"] == str(kernel.INTERFACE)
    assert fields["model_sha256"] == load_model(model_path).sha256
    assert fields["model_path"] == str(model_path.resolve())
    assert fields["elements"] == "H 1 C 6 O 8"
    evaluator = Evaluator(model_path, ethanol.numbers, dtype=dtype, device="cpu")
    assert evaluator.backend == "native"
    expected = evaluator.evaluate(ethanol.positions[None], None, ("atomic_energies",))
    structure = AtomGraph.from_arrays(ethanol.numbers, ethanol.positions)
    graph = PairGraph.from_graph(connect(structure, exported.cutoff))
    found = energies_of(content, graph, np.ascontiguousarray(ethanol.positions))
    np.testing.assert_allclose(found, expected.atomic_energies, rtol=1e-15)


def test_charges_and_what_is_not_known(dipole_potential, ethanol, tmp_path):
    path, output = tmp_path / "model.safetensors", tmp_path / "model.mlpk"
    save_model(path, dipole_potential, AtomGraph.from_arrays(ethanol.numbers, ethanol.positions))
    export(path, output)
    fields, arrays = read_kernel_file(output.read_bytes())
    assert fields["total_charge"] == "0.0"
    assert "charge_hidden" in arrays
    assert "shortest" not in arrays  # the record is empty


def test_what_the_kernel_does_not_evaluate(ethanol, tmp_path):
    """Another architecture, and terms that it would leave out."""
    golden = AtomGraph.from_arrays(ethanol.numbers, ethanol.positions)
    dtnn, with_term = tmp_path / "dtnn.safetensors", tmp_path / "term.safetensors"
    model = DTNN(DTNNConfig(n_features=4, n_interactions=1)).double().eval()
    model.elements = (1, 6, 8)
    save_model(dtnn, model, golden)
    with pytest.raises(ModelFileError, match="it evaluates SchNet, and this is a DTNN"):
        export(dtnn, tmp_path / "o.mlpk")
    model = tiny_schnet()
    model.terms = {"zbl": TermSettings()}
    save_model(with_term, model, golden)
    with pytest.raises(ModelFileError, match=r"adds physical terms \(zbl\) to its network"):
        export(with_term, tmp_path / "o.mlpk")
    assert not (tmp_path / "o.mlpk").exists()
