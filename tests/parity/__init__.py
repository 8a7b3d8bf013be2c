"""Same call, same answer: what transformers 4.57.6 returned, replayed on transformers 5 by `pipelines.pipeline`."""
