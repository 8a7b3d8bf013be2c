"""What text to text adds to the command line: its flags, and a text as it stands."""

from tasks.flags import whole

FLAGS = (
    ("--max-new-tokens", {"type": whole, "metavar": "N", "help": "longest answer, in tokens"}),
    ("--num-beams", {"type": whole, "metavar": "N", "help": "beams of the search (1: greedy)"}),
)


def reader(task, pipe) -> tuple:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed."""
    from pipelines.text2text import answer

    return pipe, answer, lambda output: [answer(output)], lambda output, text, alone: answer(output)
