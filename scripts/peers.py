"""One arm of `scripts.benchmark`, in a process and a virtual environment of its own.

Started as `python -P -u scripts/peers.py JOB`; JOB is a JSON file with "arm", "kind", "folder", "inputs" and more.
Says {"ready": versions} on stdout once it has loaded; then, for each line {"first", "last", "each"} on stdin, answers
those inputs, one by one or all at once, and says {"ms": [time of each call], "answers": […]}. Imports nothing of this
project but in the arm `duet`: transformers may be version 4 here.
"""

import json
import sys
import time
from pathlib import Path

ROWS = 32  # of a batch, where the arm leaves that to whoever calls
LONGEST = 384  # tokens of a question with its context
TASKS = {"token_classification": "TokenClassification", "question_answering": "QuestionAnswering"}


def duet(job: dict):
    """`pipelines.pipeline`, as it comes: (inputs → answers)."""
    from pipelines import pipeline

    pipe = pipeline(job["task"], model=job.get("bundled", job["folder"]), device="cpu", engine=job["engine"])
    return lambda inputs: pipe(inputs) if len(inputs) > 1 or job["kind"] == "text2text" else [first(pipe(inputs[0]))]


def first(output):
    return output[0] if isinstance(output, list) and len(output) == 1 and "entity_group" not in output[0] else output


def pipeline_of(job: dict):
    """transformers' own pipeline, at its defaults or with `rows` a batch."""
    import transformers

    more = {"aggregation_strategy": "simple"} if job["kind"] == "token_classification" else {}
    pipe = transformers.pipeline(job["hub_task"], model=job["folder"], device="cpu", **more)
    several = {"batch_size": job["rows"]} if job.get("rows") else {}

    def answer(inputs):
        if job["kind"] == "question_answering" and len(inputs) == 1:
            return [pipe(inputs[0])]
        return pipe(inputs, **several)

    return answer


def by_hand(job: dict):
    """`generate`, or a model's logits, in batches as they come: what one writes without a pipeline."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    if job["kind"] == "text2text":
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(job["folder"], dtype=torch.float32).eval()

        @torch.inference_mode()
        def answer(texts):
            features = tokenizer([job["prefix"] + text for text in texts], padding=True, return_tensors="pt")
            ids = model.generate(**features, **job["generate"])
            return tokenizer.batch_decode(ids, skip_special_tokens=True)

        return batched(answer)
    auto = getattr(transformers, f"AutoModelFor{TASKS.get(job['kind'], 'SequenceClassification')}")
    model = auto.from_pretrained(job["folder"], dtype=torch.float32).eval()

    @torch.inference_mode()
    def logits(features):
        output = model(**features)
        if job["kind"] == "question_answering":
            return output.start_logits.numpy(), output.end_logits.numpy()
        return (output.logits.numpy(),)

    return batched(lambda inputs: read(job, tokenizer, model.config, inputs, logits, "pt"))


def ctranslate2(job: dict):
    """CTranslate2 as its guide says for throughput: convert, then `translate_batch` on all texts at once, which it
    sorts itself and deals out to workers of one thread. (Two threads that share a batch were slower here.)"""
    import ctranslate2
    import transformers

    folder = Path(job["work"]) / "ctranslate2"
    if not folder.exists():
        ctranslate2.converters.TransformersConverter(job["folder"]).convert(str(folder), quantization="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    runtime = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=job["precision"], inter_threads=job["threads"], intra_threads=1
    )
    said = {"num_beams": "beam_size", "no_repeat_ngram_size": "no_repeat_ngram_size"}
    options = {own: job["generate"][name] for name, own in said.items() if name in job["generate"]}

    def answer(texts):
        ids = tokenizer([job["prefix"] + text for text in texts])["input_ids"]
        results = runtime.translate_batch(
            [tokenizer.convert_ids_to_tokens(row) for row in ids],
            max_batch_size=ROWS,
            max_decoding_length=job["generate"]["max_new_tokens"],
            max_input_length=0,
            **options,
        )
        found = [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]
        return tokenizer.batch_decode(found, skip_special_tokens=True)

    return answer


def onnx(job: dict):
    """ONNX Runtime as people use it: exported by optimum, in batches as they come."""
    import onnxruntime
    import transformers
    from optimum.onnxruntime import ORTModelForQuestionAnswering as Answering
    from optimum.onnxruntime import ORTModelForSequenceClassification as Sequence
    from optimum.onnxruntime import ORTModelForTokenClassification as Token

    folder = Path(job["work"]) / "onnx"
    auto = {"token_classification": Token, "question_answering": Answering}.get(job["kind"], Sequence)
    if not folder.exists():
        auto.from_pretrained(job["folder"], export=True).save_pretrained(folder)
    file = folder / "model.onnx"
    if job["precision"] == "int8":
        from onnxruntime.quantization import quantize_dynamic

        file, fine = folder / "int8.onnx", file
        if not file.exists():
            quantize_dynamic(str(fine), str(file))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    config = transformers.AutoConfig.from_pretrained(job["folder"])
    logits = lambda features: session.run(None, {name: features[name] for name in names})  # noqa: E731
    return batched(lambda inputs: read(job, tokenizer, config, inputs, logits, "np"))


def read(job: dict, tokenizer, config, inputs: list, logits, tensors: str) -> list:
    """The answers of an encoder with a head to one batch, by the likeliest class, tag a piece, or span."""
    import numpy as np

    options = {"padding": True, "truncation": True, "return_tensors": tensors}
    if job["kind"] == "question_answering":
        questions, contexts = ([item[name] for item in inputs] for name in ("question", "context"))
        options |= {"truncation": "only_second", "max_length": LONGEST, "return_offsets_mapping": True}
        features = tokenizer(questions, contexts, **options)
        offsets = np.asarray(features.pop("offset_mapping"))
        places = [[side == 1 for side in features.sequence_ids(i)] for i in range(len(inputs))]
        start, end = logits(features)
        found = []
        for i, context in enumerate(contexts):
            mine = np.where(places[i])[0]
            scores = np.add.outer(start[i][mine], end[i][mine])
            scores = np.where(np.tril(np.triu(np.ones_like(scores)), 14) > 0, scores, -np.inf)
            a, b = np.unravel_index(scores.argmax(), scores.shape)
            found.append(context[offsets[i][mine[a]][0] : offsets[i][mine[b]][1]])
        return found
    features = tokenizer(inputs, **options)
    best = logits(features)[0].argmax(-1)
    if job["kind"] == "token_classification":
        return [[config.id2label[int(tag)] for tag in row] for row in best]
    return [config.id2label[int(label)] for label in best]


def batched(answer):
    """All inputs in batches of `ROWS`, in their order."""
    return lambda inputs: [a for i in range(0, len(inputs), ROWS) for a in answer(inputs[i : i + ROWS])]


def plain(answer):
    """What can be compared across arms: a text or a label; None for entities, which arms write in many ways."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, dict):
        named = ("label", "answer", "translation_text", "summary_text")
        return next((answer[name] for name in named if name in answer), None)
    return answer if isinstance(answer, str) else None


ARMS = {"duet": duet, "pipeline": pipeline_of, "by_hand": by_hand, "ctranslate2": ctranslate2, "onnx": onnx}


def main() -> None:
    say, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    inputs = json.loads(Path(job["inputs"]).read_text(encoding="utf-8"))
    import torch
    import transformers

    torch.set_num_threads(job["threads"])
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    answer = ARMS[job["arm"]](job)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    print(json.dumps({"ready": versions}), file=say, flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        some = inputs[told["first"] : told["last"]]
        times, found = [], []
        for group in [[one] for one in some] if told["each"] else [some]:
            began = time.perf_counter()
            found += answer(group)
            times.append((time.perf_counter() - began) * 1000)
        print(json.dumps({"ms": times, "answers": [plain(one) for one in found]}), file=say, flush=True)


if __name__ == "__main__":
    main()
