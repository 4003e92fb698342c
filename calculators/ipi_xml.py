"""The force field in i-PI's input that belongs to a command line of `mlpotential-driver`."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from calculators.ipi_connection import DEFAULT_PREFIX, Address, UnixAddress
from mlpotential.errors import ConfigError

NAME = "model"
TIMEOUT_S = 600  # chosen: longer than any single evaluation


def ffsocket(address: Address) -> str:
    """The block of a server that the client at this address finds, with remarks."""
    is_unix = isinstance(address, UnixAddress)
    block = ET.Element("ffsocket", mode="unix" if is_unix else "inet", name=NAME, pbc="False")
    if isinstance(address, UnixAddress):
        block.append(ET.Comment(" mode='shm' is faster for many atoms; the client knows both "))
        if address.prefix != DEFAULT_PREFIX:
            block.append(ET.Comment(" i-PI needs the same prefix: sockets_prefix, or -S "))
        _add(block, "address", address.name)
    else:
        _add(block, "address", address.host)
        _add(block, "port", address.port)
    block.append(ET.Comment(" seconds until a client is given up: longer than any evaluation "))
    _add(block, "timeout", TIMEOUT_S)
    block.append(ET.Comment(" beads that one client evaluates at once "))
    _add(block, "batch_size", 1)
    return _to_text(block)


def ffdirect(pes_path: str, parameters: Mapping[str, str]) -> str:
    """The block of a driver inside i-PI, with remarks.

    Raises:
        ConfigError: for a value that i-PI's list of parameters cannot hold.
    """
    for name, value in parameters.items():
        if any(character in value for character in ",{}"):
            raise ConfigError(f"i-PI cannot read {name}: {value}, for the comma or brace in it")
    block = ET.Element("ffdirect", name=NAME, pbc="False")
    _add(block, "pes", "custom")
    _add(block, "pes_path", pes_path)
    block.append(ET.Comment(" best the number of beads; it must divide it "))
    _add(block, "batch_size", 1)
    pairs = ", ".join(f"{name}: {value}" for name, value in parameters.items())
    _add(block, "parameters", f"{{{pairs}}}")
    return _to_text(block)


def _add(parent: ET.Element, name: str, text: object) -> None:
    ET.SubElement(parent, name).text = str(text)


def _to_text(block: ET.Element) -> str:
    ET.indent(block)
    return ET.tostring(block, encoding="unicode")
