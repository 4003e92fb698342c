"""Spectra from correlation functions: density of states, infrared, Raman; checks, corrections."""
