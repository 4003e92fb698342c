"""One of several processes that train together: does what a list of trainings says, in order.

python one_of_many.py run.yaml '[{"words": [...], "rank": 1, "step": 3, "event": "SIGTERM"}, ...]'

At the beginning of a step of one rank there may be an event: a signal, or `death`. How each
training ended is a line of JSON on standard output: null, or the error and its text.
"""

import json
import os
import signal
import sys

import torch

from mlpotential.errors import InputError
from mlpotential.training.config_file import read_config
from mlpotential.training.optimization.processes import joined_processes
from mlpotential.training.run import run_training
from mlpotential.training.trainer import Trainer

torch.set_num_threads(1)
original = Trainer._next_batch


def train(run, processes):
    def next_batch(self):
        if "event" in run and (self.step, processes.rank) == (run["step"], run["rank"]):
            if run["event"] == "death":
                os._exit(1)
            signal.raise_signal(getattr(signal, run["event"]))
        return original(self)

    Trainer._next_batch = next_batch
    words = run.get("words_of_others", run["words"]) if processes.rank else run["words"]
    config = read_config(sys.argv[1], words)
    try:
        run_training(config, progress=False, processes=processes)
    except InputError as error:
        return [type(error).__name__, str(error)]
    return None


with joined_processes() as processes:
    for run in json.loads(sys.argv[2]):
        print(json.dumps(train(run, processes)), flush=True)
