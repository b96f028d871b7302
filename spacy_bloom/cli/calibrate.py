"""`python -m spacy bloom calibrate`: probabilities of a trained pipeline that mean what they say."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy
from numpy.typing import NDArray
from spacy.cli._util import Arg, Opt, setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from tqdm import tqdm
from wasabi import msg

from ..errors import InputError
from ..pipeline.base.calibration import calibration_error, fit_temperature, log_loss
from ..pipeline.saving import save_pipeline
from .evaluation.gold import GoldDoc, read_gold
from .failures import check_folder
from .inputs import load_pipeline

# By name: importing the classes would import torch and transformers with each command.
FACTORIES = ("bloom_token_classifier", "bloom_text_classifier")

Collected = List[Tuple[Any, List[Example]]]


class Calibration(NamedTuple):
    """name (str): Of a component.
    temperature (float): The fitted one.
    errors (dict[str, tuple[int, float, float]]): By split, the number of predictions and the calibration error with a
        temperature of 1 and with the fitted one.
    """

    name: str
    temperature: float
    errors: Dict[str, Tuple[int, float, float]]


def calibrate_cli(
    pipeline: str = Arg(..., help="Trained pipeline: a directory, a package or a bundled name"),
    corpus: Path = Arg(..., help="A .spacy file, or a folder as convert-data writes it", exists=True),
    output: Path = Arg(..., help="New folder for the pipeline with its temperatures"),
    split: str = Opt("dev", "--split", "-S", help="Split to fit the temperatures on; not what the pipeline was trained on"),
    test: Optional[str] = Opt(None, "--test", "-t", help="Split to measure them on, besides"),
    batch_size: Optional[int] = Opt(None, "--batch-size", "-B", help="Docs in a batch [default: the pipeline's]", min=1),
    use_gpu: int = Opt(-1, "--gpu-id", "-g", help="GPU to use, or -1 for the CPU"),
) -> None:  # fmt: skip
    """
    Fit one temperature for each token and text classifier of a pipeline,
    so that of the entities or categories with a probability of 0.8 eight in
    ten are right. What is predicted stays the same. Prints the expected
    calibration error before and after.
    """
    check_folder(output)
    setup_gpu(use_gpu)
    nlp = load_pipeline(pipeline)
    data = {name: read_gold(corpus, nlp.vocab, split=name) for name in dict.fromkeys((split, test)) if name}
    results = calibrate(nlp, data, fit_on=split, batch_size=batch_size)
    save_pipeline(nlp, output)
    rows = [
        (one.name, one.temperature, name, f"{n:,}", f"{before * 100:.1f}", f"{after * 100:.1f}")
        for one in results
        for name, (n, before, after) in one.errors.items()
    ]
    header = ("COMPONENT", "TEMPERATURE", "SPLIT", "PREDICTIONS", "ERROR BEFORE", "AFTER, %")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "l", "r", "r", "r"))
    msg.good("Saved the pipeline", output)


def calibrate(
    nlp: Language,
    data: Dict[str, List[GoldDoc]],
    *,
    fit_on: str,
    batch_size: Optional[int] = None,
) -> List[Calibration]:
    """Fit the temperature of each token and text classifier, and keep it in the pipeline's config.

    nlp (Language): A trained pipeline, changed in place.
    data (dict[str, list[GoldDoc]]): Gold Docs by split.
    fit_on (str): The split to fit on; all are measured.
    batch_size (int | None): Docs in a batch; None for the pipeline's.
    RETURNS (list[Calibration]): What was found for each component that the data have annotation for.
    RAISES (InputError): The pipeline has no such component, or the data nothing that it predicts.
    """
    pipes: Dict[str, Any] = {
        name: pipe for name, pipe in nlp.pipeline if nlp.get_pipe_meta(name).factory in FACTORIES
    }
    if not pipes:
        raise InputError(
            "Expected a pipeline with a bloom_token_classifier or bloom_text_classifier, got "
            f"{', '.join(nlp.pipe_names) or 'none'}."
        )
    before = {name: pipe.cfg["temperature"] for name, pipe in pipes.items()}
    for pipe in pipes.values():
        pipe.cfg["temperature"] = 1.0
    found = {split: _collect(nlp, pipes, gold, batch_size) for split, gold in data.items()}
    results = []
    for name, pipe in pipes.items():

        def measure(
            split: str, temperature: float, pipe: Any = pipe, name: str = name
        ) -> Tuple[NDArray, NDArray]:
            return _join(pipe.certainties(*pair, temperature) for pair in found[split][name])

        if not len(measure(fit_on, 1.0)[0]):
            msg.warn(f"{name}: the data have no annotation of what it predicts; it stays as it is.")
            pipe.cfg["temperature"] = before[name]
            continue
        temperature = fit_temperature(lambda value: log_loss(*measure(fit_on, value)))
        errors = {}
        for split in data:
            plain, fitted = measure(split, 1.0), measure(split, temperature)
            errors[split] = (len(plain[0]), calibration_error(*plain), calibration_error(*fitted))
        pipe.cfg["temperature"] = nlp.get_pipe_config(name)["temperature"] = temperature
        results.append(Calibration(name, temperature, errors))
    if not results:
        raise InputError(f"Expected annotation of what {', '.join(pipes)} predict, got none.")
    return results


def _collect(
    nlp: Language, pipes: Dict[str, Any], gold: Sequence[GoldDoc], batch_size: Optional[int]
) -> Dict[str, Collected]:
    """RETURNS (dict[str, list]): By component, predictions of batches and the Docs that they are of."""
    found: Dict[str, Collected] = {name: [] for name in pipes}
    with tqdm(total=len(gold), unit=" docs", disable=None, leave=False) as bar:
        for batch in minibatch(gold, batch_size or nlp.batch_size):
            # Activations stay on the Docs while the components that read them are left out.
            docs = list(nlp.pipe((one.doc.text for one in batch), disable=list(pipes)))
            examples = [Example(doc, one.doc) for doc, one in zip(docs, batch, strict=True)]
            for name, pipe in pipes.items():
                found[name].append((pipe.predict(docs), examples))
            for doc in docs if Doc.has_extension("trf_data") else ():
                doc._.trf_data = None
            bar.update(len(batch))
    return found


def _join(parts: Iterator[Tuple[NDArray, NDArray]]) -> Tuple[NDArray, NDArray]:
    certainties, right = zip(*parts, strict=True)
    return numpy.concatenate(certainties), numpy.concatenate(right)
