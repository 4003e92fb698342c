"""How a probe feels a molecule in each architecture."""
