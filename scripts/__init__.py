"""When, on what hardware, how fast: training, the harness, reports. Knows clocks, seeds, optimizers and results."""
