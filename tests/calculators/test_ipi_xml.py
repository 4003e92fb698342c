"""What `--print-xml` writes, read back by i-PI's own input classes."""

import warnings

import ase.io
import numpy as np
import pytest
from numpy.testing import assert_allclose

from calculators.ipi_client import main
from calculators.ipi_driver import driver_path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ipi.inputs.forcefields import InputFFDirect, InputFFSocket
    from ipi.utils.io.inputs.io_xml import xml_parse_string


def printed(capsys, *options):
    assert main(["--print-xml", *options]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def read_by_ipi(text):
    ((name, node),) = xml_parse_string(text).fields
    block = {"ffsocket": InputFFSocket, "ffdirect": InputFFDirect}[name]()
    block.parse(node)
    return block


FILES = ["--model", "m.safetensors", "--structure", "s.xyz"]


def test_a_unix_socket(capsys):
    text = printed(capsys, *FILES, "--unix", "a & b<")
    block = read_by_ipi(text)
    assert (block.mode.fetch(), block.address.fetch()) == ("unix", "a & b<")
    assert (block.pbc.fetch(), block.timeout.fetch()) == (False, 600.0)
    assert "prefix" not in text
    read_by_ipi(text.replace('mode="unix"', 'mode="shm"'))
    assert "sockets_prefix" in printed(capsys, *FILES, "--unix", "a", "--prefix", "./--x")
    read_by_ipi(printed(capsys, *FILES, "--unix", "a", "--prefix", "./--x"))


def test_tcp(capsys):
    block = read_by_ipi(printed(capsys, *FILES, "--host", "node1", "--port", "31415"))
    assert (block.mode.fetch(), block.address.fetch()) == ("inet", "node1")
    assert (block.port.fetch(), block.batch_size.fetch()) == (31415, 1)


def test_inside_ipi(capsys, tmp_path, monkeypatch, model_path, ethanol):
    """The block makes a driver from any folder, with spaces and XML's own characters in paths."""
    folder = tmp_path / "a & <b>"
    folder.mkdir()
    ase.io.write(folder / "s.xyz", ethanol)
    model_path.rename(folder / "m.safetensors")
    monkeypatch.chdir(folder)
    text = printed(capsys, *FILES, "--device", "cpu", "--threads", "2")
    assert text.count("backend") == text.count("dtype") == 0  # what is as always is not said
    monkeypatch.chdir("/")
    force_field = read_by_ipi(text).fetch()
    assert force_field.pes_path == driver_path()
    assert force_field.pars["threads"] == 2
    energy, forces, _, _ = force_field.driver(np.eye(3), ethanol.positions / 0.529177)
    assert np.isfinite(energy)
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ["a,b.safetensors", "a{.safetensors"])
def test_paths_that_ipi_cannot_read(name, capsys):
    assert main(["--print-xml", "--model", name, "--structure", "s.xyz"]) == 2
    assert "i-PI cannot read model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--host", "node1"], "where is i-PI?"), (["--port", "0"], "--port must be 1 to 65535")],
)
def test_impossible_addresses(options, message, capsys):
    assert main(["--print-xml", *FILES, *options]) == 2
    assert message in capsys.readouterr().err
