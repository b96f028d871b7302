"""`python -m spacy bloom evaluate`: scores of a pipeline by language or by any metadata."""

import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy.cli._util import Arg, Opt, setup_gpu
from tqdm import tqdm
from wasabi import msg

from .evaluation.gold import GoldDoc, annotate, read_gold
from .evaluation.measures import MEASURES, find_measure, find_tasks
from .evaluation.results import evaluate_task
from .failures import check_file
from .inputs import load_pipeline
from .pages.evaluation_page import Evaluation, render_evaluation


def evaluate_cli(
    pipeline: str = Arg(..., help="Trained pipeline: a directory, a package or a bundled name"),
    corpus: Path = Arg(..., help="A .spacy file, or a folder as convert-data writes it", exists=True),
    by: str = Opt("lang", "--by", "-b", help="Key of doc.user_data to group by: lang, or whatever the data has under \"meta\""),
    split: str = Opt("test", "--split", "-S", help="Split to read from a folder"),
    tasks: Optional[str] = Opt(None, "--task", "-t", help=f"What to compare, separated by commas: {', '.join(MEASURES)}, spans.KEY [default: what the pipeline writes and the data has]"),
    html: Optional[Path] = Opt(None, "--html", "-H", help="Write a page with bars, tables, confusions and mistakes", dir_okay=False),
    json_path: Optional[Path] = Opt(None, "--json", "-j", help="Write the scores as JSON; - for stdout, which then gets nothing else", allow_dash=True),
    examples: int = Opt(5, "--examples", "-e", help="Mistakes of each group to show on the page", min=0),
    gold_tokens: bool = Opt(False, "--gold-tokens", "-G", help="Give the pipeline the tokens of the data, instead of those of its tokenizer"),
    batch_size: Optional[int] = Opt(None, "--batch-size", "-B", help="Docs in a batch [default: the pipeline's]", min=1),
    limit: int = Opt(0, "--limit", "-n", help="Docs of each group to take; 0 for all", min=0),
    use_gpu: int = Opt(-1, "--gpu-id", "-g", help="GPU to use, or -1 for the CPU"),
) -> None:  # fmt: skip
    """
    Score a pipeline on annotated Docs, group by group: entities, spans,
    categories, tags and syntax, answers, and how surprising texts are.
    "(all)" is over all Docs together, "(mean)" the average of the groups.
    """
    is_stdout = str(json_path) == "-"
    check_file(html)
    check_file(json_path)
    names = [name.strip() for name in tasks.split(",")] if tasks else None
    for name in names or ():
        find_measure(name)
    setup_gpu(use_gpu, silent=is_stdout)
    nlp = load_pipeline(pipeline)
    gold = _limited(read_gold(corpus, nlp.vocab, split=split, by=by), limit)
    start = time.perf_counter()
    with tqdm(total=len(gold), unit=" docs", disable=True if is_stdout else None, leave=False) as bar:
        found = []
        for pair in annotate(nlp, gold, gold_tokens=gold_tokens, batch_size=batch_size):
            found.append(pair)
            bar.update()
    speed = sum(len(example.predicted) for _, example in found) / (time.perf_counter() - start)
    chosen = names or find_tasks(nlp, [example for _, example in found])
    results = [evaluate_task(name, found, n_mistakes=examples if html else 0) for name in chosen]
    evaluation = Evaluation(pipeline, str(corpus), by, len(gold), speed, results)
    if not is_stdout:
        _show(evaluation)
    _write(evaluation, html, json_path)


def to_json(evaluation: Evaluation) -> Dict[str, Any]:
    """RETURNS (dict[str, Any]): The scores of all tasks."""
    e = evaluation
    about = {
        "pipeline": e.pipeline,
        "corpus": e.corpus,
        "by": e.by,
        "docs": e.n_docs,
        "words_per_second": e.speed,
    }
    return {**about, "scores": {result.name: result.to_json() for result in e.results}}


def _limited(gold: List[GoldDoc], limit: int) -> List[GoldDoc]:
    seen: Dict[str, int] = {}
    kept = []
    for one in gold:
        seen[one.group] = seen.get(one.group, 0) + 1
        if not limit or seen[one.group] <= limit:
            kept.append(one)
    return kept


def _show(evaluation: Evaluation) -> None:
    for result in evaluation.results:
        result.show()
    print(f"\n{evaluation.n_docs:,} Docs, {evaluation.speed:,.0f} words per second")


def _write(evaluation: Evaluation, html: Optional[Path], json_path: Optional[Path]) -> None:
    text = json.dumps(to_json(evaluation), indent=2, ensure_ascii=False)
    if str(json_path) == "-":
        print(text)
    elif json_path is not None:
        json_path.write_text(text + "\n", encoding="utf8")
        msg.good("Scores written", json_path.resolve())
    if html is not None:
        html.write_text(render_evaluation(evaluation), encoding="utf8")
        if str(json_path) != "-":
            msg.good("Page written", html.resolve())
