"""What the experiments' result files say: figures, verdicts, plots, the page. Nothing here measures."""
