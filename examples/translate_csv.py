"""Translates a column of a CSV file from English to French and adds the result as a new column.

python examples/translate_csv.py reviews.csv reviews.fr.csv --column review --batch_size 16
"""

import argparse
import csv

import torch

from pipelines import pipeline  # was: from transformers import pipeline


def main():
    parser = argparse.ArgumentParser(description="Translate a column of a CSV file from English to French.")
    parser.add_argument("input_file")
    parser.add_argument("output_file")
    parser.add_argument("--column", default="text")
    parser.add_argument("--model", default=None, help="a model of the Hub or a folder (default: the task's own)")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_beams", type=int, default=4)
    args = parser.parse_args()

    with open(args.input_file, newline="", encoding="utf-8") as f:
        reader = csv.DictReader(f)
        fieldnames = [*reader.fieldnames, "translation"]
        rows = list(reader)

    device = 0 if torch.cuda.is_available() else -1
    translator = pipeline("translation_en_to_fr", model=args.model, device=device)
    texts = [row[args.column] for row in rows]
    outputs = translator(texts, batch_size=args.batch_size, num_beams=args.num_beams, max_length=200)
    for row, output in zip(rows, outputs, strict=True):
        row["translation"] = output["translation_text"]

    with open(args.output_file, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, fieldnames=fieldnames)
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows translated into {args.output_file}")


if __name__ == "__main__":
    main()
