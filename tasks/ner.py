"""Names in a text: `python -m tasks.ner "Angela Merkel visited Paris."`.  BERT beside a BiLSTM-CRF."""

from collections import Counter

from tasks import Task


def gazetteer(train):
    """The floor: the longest runs of words that the train rows mostly label as a name, with their most frequent type.

    Case counts. Of overlapping runs the one that starts first is taken, of those the longest.
    """
    from pipelines.words import joined_spans

    named: dict[tuple[str, ...], Counter] = {}
    texts = []
    for given, entities in zip(train.inputs, train.targets, strict=True):
        spans = joined_spans(given["tokens"])
        starts, ends = ({span[side]: i for i, span in enumerate(spans)} for side in (0, 1))
        texts.append(given["tokens"])
        for kind, start, end in entities:
            run = tuple(given["tokens"][starts[start] : ends[end] + 1])
            named.setdefault(run, Counter())[kind] += 1
    longest = max(map(len, named), default=0)
    seen = Counter(run for tokens in texts for run in _runs(tokens, longest) if run in named)
    types = {run: kinds.most_common(1)[0][0] for run, kinds in named.items() if 2 * kinds.total() > seen[run]}

    def look_up(given: dict) -> list[list]:
        tokens, found, i = given["tokens"], [], 0
        spans = joined_spans(tokens)
        while i < len(tokens):
            size = next((n for n in range(longest, 0, -1) if tuple(tokens[i : i + n]) in types), 0)
            if size:
                found.append(
                    [types[tuple(tokens[i : i + size])], spans[i][0], spans[min(i + size, len(tokens)) - 1][1]]
                )
            i += max(1, size)
        return found

    return lambda inputs: [look_up(given) for given in inputs]


def _runs(tokens: list[str], longest: int):
    return (tuple(tokens[i : i + n]) for i in range(len(tokens)) for n in range(1, min(longest, len(tokens) - i) + 1))


TASK = Task(
    name="ner",
    title="find the names of people, organisations, places and the like",
    kind="token_classification",
    hub_task="ner",
    transformer="bert",
    sources=("eriktks/conll2003", "leondz/wnut_17"),
    licences={"eriktks/conll2003": "research only (Reuters Corpus)", "leondz/wnut_17": "CC BY 4.0"},
    columns={"tokens": ("tokens", "words", "text", "sentence"), "target": ("ner_tags", "tags", "labels", "ner")},
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"),
    aliases={
        "person": "PER",
        "corporation": "ORG",
        "group": "ORG",
        "organization": "ORG",
        "organisation": "ORG",
        "location": "LOC",
        "product": "MISC",
        "creative-work": "MISC",
        "miscellaneous": "MISC",
    },
    metrics=("entity_f1", "entity_precision", "entity_recall"),
    params={"aggregation_strategy": "simple", "word_level": True, "case_types": True},
    floor="longest match in a list of the training names",
    make_floor=gazetteer,
    example="Angela Merkel visited the United Nations in New York.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
