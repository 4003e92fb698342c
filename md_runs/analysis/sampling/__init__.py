"""Statistics of frames: blocks, error bars, correlation functions, histograms, equilibration."""
