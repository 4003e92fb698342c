"""Folders of RuNNer and n2p2: `input.nn`, `scaling.data` and a `weights.ZZZ.data` per element."""
