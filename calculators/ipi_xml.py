"""Force fields in i-PI's input, of a command line of `mlpotential-driver` or of a run."""

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
        add(block, "address", address.name)
    else:
        add(block, "address", address.host)
        add(block, "port", address.port)
    block.append(ET.Comment(" seconds until a client is given up: longer than any evaluation "))
    add(block, "timeout", TIMEOUT_S)
    block.append(ET.Comment(" beads that one client evaluates at once "))
    add(block, "batch_size", 1)
    return to_text(block)


def ffdirect_text(pes_path: str, parameters: Mapping[str, str]) -> str:
    """The block of a driver inside i-PI, with a remark. Raises ConfigError as `ffdirect`."""
    block = ffdirect(pes_path, parameters)
    remark = ET.Comment(" best the number of beads; it must divide it ")
    block.insert([child.tag for child in block].index("batch_size"), remark)
    return to_text(block)


def ffdirect(pes_path: str, parameters: Mapping[str, str], batch_size: int = 1) -> ET.Element:
    """The block of a driver inside i-PI; positions are never folded into a cell.

    Raises:
        ConfigError: for a value that i-PI's list of parameters cannot hold.
    """
    for name, value in parameters.items():
        if any(character in value for character in ",{}"):
            raise ConfigError(f"i-PI cannot read {name}: {value}, for the comma or brace in it")
    block = ET.Element("ffdirect", name=NAME, pbc="False")
    add(block, "pes", "custom")
    add(block, "pes_path", pes_path)
    add(block, "batch_size", batch_size)
    pairs = ", ".join(f"{name}: {value}" for name, value in parameters.items())
    add(block, "parameters", f"{{{pairs}}}")
    return block


def add(parent: ET.Element, name: str, text: object = "", **attributes: str) -> ET.Element:
    """A new last child with this text."""
    child = ET.SubElement(parent, name, attributes)
    child.text = str(text)
    return child


def to_text(root: ET.Element) -> str:
    """Indented, without a newline at the end."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")
