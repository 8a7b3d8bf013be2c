"""The loop behind `scripts.finetune`: batches, steps, validation, states, and the checkpoint at the end."""

import contextlib
import dataclasses
import json
import math
import random
import shutil
import sys
import time
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader

import pipelines
from pipelines.errors import UserError
from scripts import state
from scripts.batches import batches, steps
from scripts.start import make_optimizer, read_splits, tokenizer_and_model
from tasks.metrics import metrics_of
from tasks.predict import predict_all

LOG_EVERY = 10  # steps between log lines, and between looks at the clock where several processes must agree


class Training:
    """One run. `progress` is all that changes besides weights and optimizer, and is saved with them."""

    def __init__(self, accelerator, task, family: str, recipe, folder: Path):
        self.accelerator, self.task, self.family, self.recipe = accelerator, task, family, recipe
        self.folder, self.own = folder, folder / "training"
        self.kind = pipelines.kind(task.kind_of(family))
        count = accelerator.num_processes
        self.progress = {"step": 0, "best": None, "best_step": 0, "bad": 0, "seconds": 0.0, "tokens": 0, "padded": 0}
        self.progress |= {"targets": 0, "processes": count}
        sources = list(recipe.data or task.sources)
        self.say(f"{task.name} {family}: reading {' + '.join(sources)}")
        self.train_rows, self.validation_rows = read_splits(task, sources, recipe.validation_limit, recipe.seed)
        if not len(self.train_rows):
            raise UserError(f"nothing to train on in {self.train_rows.source}, once its validation rows are held out")
        run = self.own / "run.json"  # written after the tokenizer, which is whole then
        with accelerator.main_process_first():
            saved = self.own / "tokenizer" if run.is_file() else None
            self.tokenizer, model = tokenizer_and_model(task, family, recipe, self.train_rows, saved)
            if accelerator.is_main_process and not saved:
                self.own.mkdir(parents=True, exist_ok=True)
                self.tokenizer.save_pretrained(self.own / "tokenizer")
                said = {"task": task.name, "family": family, "recipe": dataclasses.asdict(recipe)}
                state.replace_file(run, json.dumps(said, indent=1))
        self.prefix = task.prefix if family == "t5" else ""
        columns = self.kind.features(
            self.tokenizer, self.train_rows.inputs, self.train_rows.targets,
            prefix=self.prefix, labels=task.labels, max_length=recipe.max_length,
        )  # fmt: skip
        self.rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        if not self.rows:
            raise UserError(f"nothing to train on: no row of {self.train_rows.source} fits {recipe.max_length} tokens")
        self.count = len(self.rows)
        if recipe.copy_steps:
            if task.kind != "text2text":
                raise UserError(f"copy_steps is for text to text; {task.name} answers with something else")
            # row i once more, with its source to be copied, at i + count
            self.rows += self.kind.copies(self.rows, len(self.tokenizer(self.prefix)["input_ids"]) - 1)
        self.lengths = [self.kind.length(row) for row in self.rows]
        self.say(
            f"{self.count:,} rows to train on, made of {len(self.train_rows):,} texts, "
            f"{len(self.validation_rows):,} to validate, {model.num_parameters():,} parameters"
        )
        self.config = model.config
        optimizer = make_optimizer(recipe, model)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.plan = self._plan()
        self.total = recipe.max_steps or sum(len(epoch) for epoch in self.plan)
        found = state.load(self.own, self.bare, self.optimizer)
        if found:
            before = found.setdefault("processes", count)
            if before != count:  # the plan of who trains on what would be another
                raise UserError(f"--resume can't change the number of processes from {before} to {count}")
            self.progress = found
            self.say(f"resumed at step {found['step']:,} of {self.total:,}")

    def say(self, text: str) -> None:
        if self.accelerator.is_main_process:
            print(text, file=sys.stderr)

    @property
    def bare(self):
        """The model without what accelerate wrapped around it."""
        return self.accelerator.unwrap_model(self.model)

    def _plan(self) -> list[list[list[list[int]]]]:
        """Per epoch its steps, per step its batches (of all processes), per batch its rows."""
        recipe, per_step = self.recipe, self.accelerator.num_processes * self.recipe.accumulate
        plan, count, lengths = [], 0, self.lengths[: self.count]
        while (count < recipe.max_steps) if recipe.max_steps else (len(plan) < math.ceil(recipe.epochs)):
            epoch = steps(batches(lengths, recipe.tokens_per_batch, recipe.seed, len(plan)), per_step)
            if not recipe.max_steps:
                epoch = epoch[: math.ceil(len(epoch) * min(1.0, recipe.epochs - len(plan)))]
            plan.append(epoch)
            count += len(epoch)
        return plan

    # --- the loop ---

    def run(self, minutes: float, stop) -> str:
        """Trains on until "finished", "time is up" or "interrupted"; the last two leave a state to resume from."""
        progress, recipe, acc = self.progress, self.recipe, self.accelerator
        if progress["step"] >= self.total or self._patience_over():
            return "finished"
        self._trim_logs()
        if acc.log_with:
            acc.init_trackers("duet", config={k: str(v) for k, v in dataclasses.asdict(recipe).items()})
        began, before, loss = time.monotonic(), progress["seconds"], torch.zeros((), device=acc.device)
        pending = progress.pop("loss", 0.0)
        loss += pending if acc.is_main_process else 0.0
        with self._bar() as bar:
            for step, group in self.groups(progress["step"]):
                loss += self.step(step, group)
                progress["step"] = step + 1
                progress["seconds"] = before + time.monotonic() - began
                logs, evaluates = (step + 1) % LOG_EVERY == 0, (step + 1) % recipe.evaluate_every == 0
                last = step + 1 == self.total
                if logs or last:
                    self._log(step + 1, float(loss) / ((step % LOG_EVERY) + 1), bar)
                    loss.zero_()
                if evaluates or last:
                    self._evaluate(bar)
                over = self._patience_over()
                ended = "" if last or over else self._ended(logs, stop, time.monotonic() - began > minutes * 60)
                if ended or evaluates or last or (step + 1) % recipe.save_every == 0:
                    progress["seconds"] = before + time.monotonic() - began
                    self._save(float(loss))
                if ended:
                    return ended
                if over:
                    self.say(f"no better score in {recipe.patience} evaluations: stopped early")
                    break
        return "finished"

    def groups(self, start: int):
        """(step, this process's batches on its device) from step `start` on."""
        acc, step = self.accelerator, 0
        for epoch in self.plan:
            todo = epoch[max(0, start - step) : max(0, self.total - step)]
            first, step = max(step, start), step + len(epoch)
            for i in range(min(len(todo), self.recipe.copy_steps - first)):
                todo[i] = self._copying(first + i, todo[i])
            mine = [rows for group in todo for rows in group[acc.process_index :: acc.num_processes]]
            loader = DataLoader(
                self.rows,
                batch_sampler=mine,
                collate_fn=lambda rows: self.kind.collate(rows, self.config),
                pin_memory=acc.device.type == "cuda",
                num_workers=2 if acc.device.type == "cuda" else 0,
            )
            ready = iter(loader)
            for offset, group in enumerate(todo):
                yield first + offset, [(group, next(ready)) for _ in range(self.recipe.accumulate)]

    def _copying(self, step: int, group: list[list[int]]) -> list[list[int]]:
        """A step's batches with part of their rows to be copied: all in the first quarter of `copy_steps`, then fewer
        and fewer."""
        rng = random.Random(f"{self.recipe.seed}/copies/{step}")
        share = (1 - step / self.recipe.copy_steps) * 4 / 3
        return [[row + self.count * (rng.random() < share) for row in rows] for rows in group]

    def step(self, step: int, ready: list) -> torch.Tensor:
        """One optimizer step over all processes' batches; the mean loss of this process's share, without a host sync.

        The gradient is that of the mean over all terms of the step, however many processes and batches share them.
        """
        acc, recipe = self.accelerator, self.recipe
        # dropout depends on (seed, step, process) alone: that makes a resumed run equal to one that never stopped
        chance = (recipe.seed << 40) + step * acc.num_processes + acc.process_index
        torch.manual_seed(chance % 2**64)  # as many bits as a generator takes
        rate = learning_rate(recipe, step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        rows = [row for batch in ready[0][0] for row in batch]
        terms = sum(self.kind.count(self.rows[row]) for row in rows)
        self.progress["targets"] += terms
        self.progress["tokens"] += sum(self.lengths[row] for row in rows)
        self.progress["padded"] += sum(len(b) * max(self.lengths[row] for row in b) for b in ready[0][0])
        total = torch.zeros((), device=acc.device)
        for i, (_, batch) in enumerate(ready):
            batch = {key: value.to(acc.device, non_blocking=True) for key, value in batch.items()}
            with acc.no_sync(self.model) if i + 1 < len(ready) else contextlib.nullcontext():
                with acc.autocast():
                    loss = self.kind.loss(self.model, batch, recipe.label_smoothing) / terms
                acc.backward(loss * acc.num_processes)  # the processes' gradients are averaged: undo that
            total += loss.detach()
        if recipe.clip:
            acc.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _ended(self, synced: bool, stop, late: bool) -> str:
        """Why to stop now, the same on every process ("" to go on). Several processes ask only where they log."""
        asked = 2 if stop() else 1 if late else 0
        if self.accelerator.num_processes > 1:
            asked = max(gather_object([asked])) if synced else 0
        return ("", "time is up", "interrupted")[asked]

    def _patience_over(self) -> bool:
        return 0 < self.recipe.patience <= self.progress["bad"]

    # --- talk, validation, states ---

    def _bar(self):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        off = not self.accelerator.is_main_process or not sys.stderr.isatty()
        bar = Progress(*columns, console=Console(stderr=True), disable=off)
        bar.add_task("", total=self.total, completed=self.progress["step"])
        return bar

    def _log(self, step: int, loss: float, bar) -> None:
        acc, progress = self.accelerator, self.progress
        loss = sum(gather_object([loss]))  # each process holds the loss of its own share of the terms
        rate = learning_rate(self.recipe, step - 1, self.total)
        speed = progress["tokens"] / max(progress["seconds"], 1e-9)
        bar.update(bar.task_ids[0], completed=step, description=f"loss {loss:.3f}, {speed:,.0f} tokens/s")
        if not acc.is_main_process:
            return
        entry = {"step": step, "loss": loss, "learning_rate": rate}
        self._keep("log.jsonl", entry)
        acc.log(entry | {"tokens_per_s": speed}, step=step)
        if not sys.stderr.isatty() and step % (10 * LOG_EVERY) == 0:
            left = (self.total - step) * progress["seconds"] / step / 60
            self.say(f"step {step:,}/{self.total:,}  loss {loss:.3f}  {speed:,.0f} tokens/s  {left:.0f} min left")

    def _keep(self, name: str, entry: dict) -> None:
        """Adds a line to a log of this run."""
        if self.accelerator.is_main_process:
            with (self.own / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def _trim_logs(self) -> None:
        """Drops log lines of steps after the state: they are about to be done again."""
        for file in (self.own / "log.jsonl", self.own / "validation.jsonl"):
            if self.accelerator.is_main_process and file.is_file():
                lines = [x for x in file.read_text(encoding="utf-8").splitlines(True) if x.endswith("}\n")]
                kept = [line for line in lines if json.loads(line)["step"] <= self.progress["step"]]
                state.replace_file(file, "".join(kept))

    def validate(self, model=None) -> dict[str, float]:
        """The task's metrics on the validation rows, each row answered by exactly one process."""
        acc, rows = self.accelerator, self.validation_rows
        if model is None:
            model = self.bare.get_base_model() if self.recipe.lora else self.bare
        model.eval()
        pipe = pipelines.pipeline(self.task.name, model=model, tokenizer=self.tokenizer, device=acc.device)
        mine = range(acc.process_index, len(rows), acc.num_processes)
        answers = predict_all(self.task, pipe, [rows.inputs[i] for i in mine], 32, **self.recipe.validation)
        answers = dict(gather_object(list(zip(mine, answers, strict=True))))
        predictions = [answers[i] for i in range(len(rows))]
        return {m.key: m.value(m.statistics(predictions, rows.targets).sum(0)) for m in metrics_of(self.task)}

    def _evaluate(self, bar) -> None:
        progress, first = self.progress, metrics_of(self.task)[0]
        scores = self.validate()
        value, best = scores[first.key], progress["best"]
        better = best is None or (value > best if first.higher_is_better else value < best)
        progress["bad"] = 0 if better else progress["bad"] + 1
        shown = ", ".join(f"{key} {score:.4g}" for key, score in scores.items())
        bar.console.print(f"step {progress['step']:,}: {shown}{'  (best)' if better else ''}", highlight=False) if (
            self.accelerator.is_main_process
        ) else None
        self._keep("validation.jsonl", {"step": progress["step"], "seconds": progress["seconds"]} | scores)
        self.accelerator.log({f"validation/{key}": score for key, score in scores.items()}, step=progress["step"])
        if better:
            progress |= {"best": value, "best_step": progress["step"], "scores": scores}
            self._write(self.own / "best", self.bare)

    def _write(self, folder: Path, model) -> None:
        if not self.accelerator.is_main_process:
            return
        temporary = folder.with_name(folder.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        state.save_model(model, str(temporary / "model.safetensors"))
        state.replace_folder(temporary, folder)

    def _save(self, pending: float) -> None:
        pending = sum(gather_object([pending]))
        if self.accelerator.is_main_process:
            state.save(self.own, self.bare, self.optimizer, self.progress | {"loss": pending})
        self.accelerator.wait_for_everyone()


def learning_rate(recipe, step: int, total: int) -> float:
    """Linear warm-up, then linear or cosine decay to 0 at `total`, or constant."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, total - recipe.warmup)
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return recipe.learning_rate * shape[recipe.schedule]
