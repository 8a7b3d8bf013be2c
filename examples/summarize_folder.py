"""Summarises each text file of a folder into one JSON file: {name of the file: summary}.

python examples/summarize_folder.py articles/ summaries.json --model t5-small
"""

import argparse
import glob
import json
import os

from pipelines import pipeline  # was: from transformers import pipeline


def main():
    parser = argparse.ArgumentParser(description="Summarise the text files of a folder.")
    parser.add_argument("folder", help="a folder with .txt files in UTF-8")
    parser.add_argument("output_file", help="a JSON file")
    parser.add_argument("--model", default=None, help="a model of the Hub or a folder (default: the task's own)")
    parser.add_argument("--max_length", type=int, default=60)
    parser.add_argument("--min_length", type=int, default=5)
    args = parser.parse_args()

    summarizer = pipeline("summarization", model=args.model, tokenizer=args.model, framework="pt")
    summaries = {}
    for path in sorted(glob.glob(os.path.join(args.folder, "*.txt"))):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        summary = summarizer(text, max_length=args.max_length, min_length=args.min_length, do_sample=False)
        summaries[os.path.basename(path)] = summary[0]["summary_text"]
        print(f"{os.path.basename(path)}: {summary[0]['summary_text']}")

    with open(args.output_file, "w", encoding="utf-8") as f:
        json.dump(summaries, f, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    main()
