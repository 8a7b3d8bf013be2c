"""Answers questions about a text file.

python examples/ask_file.py README.md "Which Python is needed?" "What is no GPU needed for?"
"""

import argparse

from pipelines import pipeline  # was: from transformers import pipeline


def main():
    parser = argparse.ArgumentParser(description="Answer questions about a text file.")
    parser.add_argument("file", help="a text file in UTF-8")
    parser.add_argument("questions", nargs="+", help="questions about it")
    parser.add_argument("--model", default=None, help="a model of the Hub or a folder (default: the task's own)")
    parser.add_argument("--top_k", type=int, default=1, help="answers to each question")
    args = parser.parse_args()

    with open(args.file, encoding="utf-8") as f:
        context = f.read()

    nlp = pipeline("question-answering", model=args.model)
    for question in args.questions:
        results = nlp(question=question, context=context, top_k=args.top_k)
        if isinstance(results, dict):
            results = [results]
        print(question)
        for result in results:
            answer, score = result["answer"], round(result["score"], 4)
            print(f"  {answer!r}, score: {score}, start: {result['start']}, end: {result['end']}")


if __name__ == "__main__":
    main()
