"""One arm of `scripts.benchmark_training`, in a process of its own: `python -m scripts.peers_training JOB`.

JOB is a JSON file. Says {"rows": mean rows of a batch} once it is about to take its first step; then, for each line
{"steps": N} on stdin, takes N optimizer steps and says {"ms", "tokens"}: how long they took, and how many tokens,
padding left out, they trained on. All arms have their rows, model and collation from `scripts.training`; what differs
is which rows meet in a batch, and the loop.
"""

import json
import sys
import time
from pathlib import Path


class Turns:
    """Waits for its turn before the first of the steps that are asked for, and says how they went after the last."""

    def __init__(self, out):
        self.out, self.left, self.tokens, self.began = out, 0, 0, 0.0

    def before_step(self) -> None:
        """Raises `SystemExit` when there are no more turns."""
        if not self.left:
            if self.began:
                self.say({"ms": (time.perf_counter() - self.began) * 1000, "tokens": int(self.tokens)})
            line = sys.stdin.readline()
            if not line:
                raise SystemExit
            self.left, self.tokens, self.began = json.loads(line)["steps"], 0, time.perf_counter()
        self.left -= 1

    def say(self, told: dict) -> None:
        print(json.dumps(told), file=self.out, flush=True)

    def count(self, _, args, batch: dict) -> None:
        """A hook before the model's forward pass: tokens of its batch, those of both sides where there are two."""
        self.tokens += batch["attention_mask"].sum()
        if "decoder_input_ids" in batch:
            self.tokens += (batch["labels"] != -100).sum()


def duet(training, turns: Turns, job: dict) -> None:
    """The loop of `scripts.finetune`."""
    for step, group in training.groups(0):
        turns.before_step()
        before = training.progress["tokens"]
        training.step(step, group)
        turns.tokens += training.progress["tokens"] - before


def trainer(training, turns: Turns, job: dict) -> None:
    """transformers' `Trainer` at its defaults but for the batch size; `order` is how it draws its rows."""
    import transformers

    class Waiting(transformers.TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            turns.before_step()

    options = transformers.TrainingArguments(
        output_dir=str(training.own / "trainer"), per_device_train_batch_size=job["rows"], max_steps=training.total,
        learning_rate=training.recipe.learning_rate, train_sampling_strategy=job["order"], remove_unused_columns=False,
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    training.bare.register_forward_pre_hook(turns.count, with_kwargs=True)
    rows = [row | {"length": length} for row, length in zip(training.rows, training.lengths, strict=True)]
    transformers.Trainer(
        training.bare, options, data_collator=lambda rows: training.kind.collate(rows, training.config),
        train_dataset=rows, callbacks=[Waiting()],
    ).train()  # fmt: skip


def accelerate(training, turns: Turns, job: dict) -> None:
    """What transformers' examples `run_…_no_trainer.py` do: shuffled rows padded to the longest of a batch, AdamW."""
    import torch
    import transformers
    from accelerate import Accelerator

    own = Accelerator()
    loader = torch.utils.data.DataLoader(
        training.rows, job["rows"], shuffle=True, collate_fn=lambda rows: training.kind.collate(rows, training.config)
    )
    optimizer = torch.optim.AdamW(training.bare.parameters(), lr=training.recipe.learning_rate)
    schedule = transformers.get_scheduler("linear", optimizer, 0, training.total)
    model, optimizer, loader, schedule = own.prepare(training.bare, optimizer, loader, schedule)
    model.register_forward_pre_hook(turns.count, with_kwargs=True)
    model.train()
    total = 0
    while True:
        for batch in loader:
            turns.before_step()
            loss = model(**batch).loss
            total += loss.detach().float()
            own.backward(loss)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


ARMS = {"duet": duet, "trainer": trainer, "accelerate": accelerate}


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    import transformers
    from accelerate import Accelerator

    import tasks
    from pipelines import memory
    from scripts.recipe import Recipe
    from scripts.training import Training

    if torch.get_num_threads() != job["threads"]:
        torch.set_num_threads(job["threads"])
    if job["arm"] == "duet":
        memory.keep()
    transformers.logging.set_verbosity_error()
    recipe = Recipe(**job["recipe"] | {"data": tuple(job["recipe"]["data"])})
    training = Training(Accelerator(), tasks.load(job["task"]), job["family"], recipe, Path(job["folder"]))
    turns = Turns(out)
    batches = [rows for epoch in training.plan for step in epoch for rows in step]
    job["rows"] = round(sum(map(len, batches)) / len(batches))  # so many as `duet` has in a batch on average
    turns.say({"rows": job["rows"]})
    ARMS[job["arm"]](training, turns, job)


if __name__ == "__main__":
    main()
