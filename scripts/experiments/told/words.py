"""What the page says around the figures: how each experiment was set up (from its settings), why things may be so, what
others found, and the limits. No figure of our own stands here."""

TITLES = {
    "sequential": "Sequential computation",
    "gradients": "Vanishing gradients",
    "bottleneck": "The bottleneck",
    "costs": "What training costs",
}
ASKED = {
    "sequential": "An RNN reads one token after another, a Transformer all at once. Does that make RNNs slow, and how "
    "do time and memory grow with the length of a text?",
    "gradients": "What an RNN learns from the end of a text must pass back through every step. How much of it is left "
    "after k steps, and what does that cost?",
    "bottleneck": "Without attention, all that a decoder knows of the source is one vector. Where does that show, and "
    "does attention mend it?",
    "costs": "What did it cost to train both arms of each of this project's pairings?",
}
WHY = {
    "sequential": (
        "A recurrent layer needs as many steps in a row as the text has tokens, a Transformer as many as it has "
        "layers. Waiting costs time where a machine could do more at once than one step gives it to do: on a GPU, or "
        "with many cores. On a few cores every arm is busy with its multiplications at any length, and what decides is "
        "the kernel and the amount of work: per token that is constant for a recurrent layer, while attention looks at "
        "all tokens before. On a CPU torch has a fused kernel (oneDNN's) for the LSTM alone; GRU and tanh RNN are "
        "called step by step, and each call costs. So the claim is one about parallel hardware, and about training.",
        "Writing is sequential for both, since each token needs the one before. There an RNN takes a step from a state "
        "of fixed size; a Transformer attends to a cache that grows.",
    ),
    "gradients": (
        "From step to step a gradient is multiplied by a Jacobian. Of a tanh RNN with small weights that shrinks it by "
        "a constant factor, so it decays exponentially. Along the direct path an LSTM's cell is "
        "multiplied by the forget gate alone, hence the weight of its initial bias: sigmoid(0) = 0.5, sigmoid(1) = "
        "0.73, sigmoid(3) = 0.95 a step; what passes through the gates by way of h comes on top. Attention reaches "
        "each step directly, however far back it is.",
    ),
    "bottleneck": (
        "A vector of H numbers can hold so many symbols and no more, whatever the length of the source; how many it is "
        "in practice depends on training. Attention keeps a vector for each token. It is no guarantee for lengths that "
        "training has not shown: positions must generalise too.",
    ),
    "costs": (),
}
KNOWN = {  # (found by others, whether it supports the claim)
    "sequential": (
        ("Vaswani et al. 2017, table 1: a recurrent layer needs O(n) operations in a row, self-attention O(1).", True),
        ("The same table: a self-attention layer does O(n²·d) work, a recurrent one O(n·d²). Attention is the cheaper "
         "one only while the length n is below the width d.", False),
        ("Recurrences that are linear in the state can be trained in parallel over the length (Martin & Cundy 2018; "
         "Gu & Dao 2023): it is the nonlinear step that forces the wait, not recurrence as such.", False),
    ),
    "gradients": (
        ("Hochreiter 1991, Bengio et al. 1994 and Pascanu et al. 2013 show why gradients of a plain RNN vanish or "
         "explode.", True),
        ("Hochreiter & Schmidhuber 1997 made the LSTM against just this; Gers et al. 2000 and Jozefowicz et al. 2015 "
         "on why the forget gate's bias should start at 1 or above.", False),
        ("Linzen et al. 2016: an LSTM trained on agreement errs in less than 1 % of sentences, more often the more "
         "attractors there are; one trained as a language model does much worse.", True),
        ("Gulordava et al. 2018: a well tuned LSTM language model gets long-distance agreement nearly as well as "
         "people.", False),
    ),
    "bottleneck": (
        ("Bahdanau et al. 2015, table 1 (WMT14 English-French, BLEU on all sentences): 17.8 without attention, 26.8 "
         "with (trained on sentences of up to 50 words). Figure 2: without attention BLEU falls steeply for sentences "
         "of more than about 30 words; with it there is no fall up to 50 words and beyond.", True),
        ("Sutskever et al. 2014, table 1 and figure 3: five LSTMs without attention together, each of four layers of "
         "1,000 units and trained on 12 million pairs, reach 34.8 BLEU in WMT14 English-French, and fall a little for "
         "the longest sentences alone.", False),
        ("RNMT+ (Chen et al. 2018), an LSTM with attention and the Transformer's training methods, is level with "
         "Transformer-big or slightly better on WMT14: 41.0 against 40.7 BLEU in English-French.", False),
        ("Long Range Arena (Tay et al. 2021): a plain Transformer scores 54 on average and fails on the longest task; "
         "structured recurrences (S4, Gu et al. 2022) score 80, and 86 in their later revision.", False),
        ("Amos et al. 2024, “Never Train from Scratch”: with pretraining on the task's own inputs the Transformer "
         "closes most of that gap. Much of what is published as a difference of architectures is one of "
         "pretraining.", False),
    ),
    "costs": (),
}  # fmt: skip
LIMITS = {
    "sequential": (
        "Models of a few hundred thousand to a million parameters and one machine a column. Wider layers fill a GPU "
        "sooner; more cores favour the Transformer.",
        "The Transformer attends with torch's fused kernel, which needs memory linear in the length; without it memory "
        "would grow with the square.",
        "“Steps in a row” follows from the architecture; a kernel may overlap some of them.",
        "The interval of a slope is from the residuals of the fit. Curves bend, as the fixed cost of a call hides the "
        "growth at short lengths: so slopes are those of the longer half.",
    ),
    "gradients": (
        "A norm says how much of a signal is left, not whether it is of use. Networks are small, the tasks made up.",
        "Of an LSTM h_t is looked at; the cell's gradient is in the result file. For the Transformer h_t is what its "
        "first block makes of step t: no other place corresponds.",
        "All arms got the same number of training steps at most. One that did not learn a task or a distance might "
        "with more; gradients of networks that learnt nothing are shown, and counted for no side.",
        "Rates were chosen on the rows that are told of, alike for all arms.",
        "The grammar of agreement is the project's own and its sentences are simple. The two language models were "
        "trained for about an hour each; larger ones agree better.",
    ),
    "bottleneck": (
        "Translators of a stated width were trained on the recipe's rows, each alone and once more joined with one to "
        "three others. The bundled pair was trained on single sentences and often stops after the first of several "
        "(see answer/reference): it shows how each generalises, not what it can hold.",
        "The validation rows also chose the weights of each training. Long bins hold other sentences than short ones, "
        "so compare arms within a bin, not bins with each other.",
        "How long the translators of a stated width were trained is in a table. Where that is an epoch or less, an "
        "LSTM without attention has learnt little yet, and which arm leads may change with more.",
        "With one learning rate per family, the recipe's, for translation; copy and recall try two.",
        "T5's positions are relative, in buckets. Other schemes go on to longer inputs better or worse.",
        "The product itself splits long texts into sentences before translating; here that is switched off.",
    ),
    "costs": (
        "The arms of a pairing differ in more than their architecture: BERT arms are pretrained and several times "
        "larger. Tokens are of each arm's own tokenizer.",
        "Trainings shared the machine with others, so times are rough; the README's benchmark has tokens per second "
        "that were measured in turns.",
        "The level that both reach is the best of the arm that ends worse, often at its very end: this favours the "
        "other one.",
        "The training loss is not the loss on unseen rows; an arm that overfits looks better by it.",
        "A pairing has no case for the time to a level where a training had stages or kept no curve. A training is "
        "looked at every few hundred steps, so a time is the next such moment.",
    ),
}


def setting(data: dict) -> list[str]:
    """How the experiment was set up, a sentence or two a part."""
    told = []
    for part, settings in data["settings"].items():
        if part in SETTINGS:
            told.append(SETTINGS[part](settings))
    return told


def _list(values) -> str:
    return ", ".join(f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in values)


def _sequential(s: dict) -> str:
    return (
        f"Lengths {_list(s['lengths'])}. Each figure is the median of {s['rounds'] * s['runs']} runs, all arms in "
        f"turn, in {s['rounds']} rounds over all lengths. Steps of {s['tokens']:,} tokens, or of {s['batch']} rows; "
        f"AdamW. Equal parameters (± 2 %): a Transformer of {s['layers']} layers, width {s['width']}, against one "
        f"recurrent layer. Equal depth: {s['depth']} layers of width {s['width']} each. A token is written with a "
        "cache or a state; a text is read at batch 1."
    )


def _profile(s: dict) -> str:
    return (
        f"Gradients: {s['seeds']} seeds, untrained at {s['long']} steps, and at {s['length']} steps before and after "
        f"up to {s['steps']:,} steps of training on the adding and the copy task, in float64. One recurrent layer "
        f"against {s['layers']} Transformer layers of width {s['width']}, parameters equal ± 2 %."
    )


def _distance(s: dict) -> str:
    return (
        f"Accuracy: one of eight symbols, shown k = {_list(s['distances'])} steps ago, is asked for. A model for each "
        f"k, up to {s['steps']:,} training steps of {s['batch']} rows, learning rates {_list(s['rates'])}, "
        f"{s['seeds']} seed{'s' * (s['seeds'] > 1)} with the best."
    )


def _agreement(s: dict) -> str:
    return (
        f"Agreement: {s['sentences']} sentences of each sort from a grammar of the project's own; a word's probability "
        "is that of all its tokens and that none behind them goes on with it."
    )


def _recall(s: dict) -> str:
    trained = " and ".join(f"{task} up to {most}" for task, most in s["trained"].items())
    return (
        f"Copy and recall: trained on {trained}, at most {s['steps']:,} steps of {s['batch']} rows, best of "
        f"{max(map(len, s['rates'].values()))} learning rates, {s['seeds']} seed{'s' * (s['seeds'] > 1)} (the "
        f"table says how many of them are done), {s['tested']} rows a length. Recall: pairs of a key and a value, then "
        "all keys in another order; the answer is each of these with its value. T5 has as many parameters as the LSTM "
        "with attention (± 2 %)."
    )


def _translation(s: dict) -> str:
    trained = (
        f"trained with the recipes, on single and joined rows, at hidden {_list(s['hidden'])} (of the LSTM's "
        f"decoder; T5 has as many parameters as the LSTM with attention, ± 2 %), a vocabulary of {s['vocabulary']:,}, "
        f"batches of {s['tokens']:,} tokens and dropout {s['dropout']:g}; and "
    )
    trained = trained if s["hidden"] else ""
    return (
        f"Translation: {trained}the bundled pair, on Multi30k (test and validation) and Tatoeba (validation), one to "
        f"{s['joined']} sentences joined, up to {s['rows']} rows a bin; greedy search."
    )


SETTINGS = {
    "sequential": _sequential,
    "profile": _profile,
    "distance": _distance,
    "agreement": _agreement,
    "recall": _recall,
    "translation": _translation,
    "costs": lambda s: "Read from the records and logs of the trainings; nothing was timed for this page.",
}
