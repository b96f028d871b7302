"""Systems that continue prompts greedily, each in a process that keeps its model: ours, Hugging Face's, CTranslate2's.

CTranslate2 is optional (`pip install ctranslate2`). Its systems are left out if it is not installed.
"""

import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers
from measuring import Geometry, memory, write_checkpoint
from texts import new_tokenizer, pseudo_lines

from spacy_bloom import BloomForCausalLM

VOCABULARY = 2000  # pieces that prompts are drawn from; the embedding has as many rows as the geometry
OURS = ("ours float32", "ours float32, shortlist", "ours float16", "ours float16, shortlist", "ours int8")
THEIRS = "Hugging Face"
CT2 = ("CTranslate2 float32", "CTranslate2 int8")
FOLDERS = {
    **{system: system.split()[1].rstrip(",") for system in OURS},
    THEIRS: "float32",
    **dict.fromkeys(CT2, "ct2"),
}


def available_systems() -> list[str]:
    """RETURNS (list[str]): The systems whose libraries are installed."""
    has_ct2 = importlib.util.find_spec("ctranslate2") is not None
    return [*OURS, THEIRS, *(CT2 if has_ct2 else ())]


def write_checkpoints(directory: Path, geometry: Geometry, systems: Sequence[str]) -> None:
    """Write the same random weights in the format of each system."""
    needed = {FOLDERS[system] for system in systems}
    exact = directory / "float32"
    write_checkpoint(exact, geometry, new_tokenizer(pseudo_lines(2000), VOCABULARY))
    if "float16" in needed:
        BloomForCausalLM.from_pretrained(exact, dtype=torch.float16).save_pretrained(directory / "float16")
    if "int8" in needed:
        BloomForCausalLM.from_pretrained(exact, quantization="int8").save_pretrained(directory / "int8")
    if "ct2" in needed:
        _convert_for_ctranslate2(exact, directory / "ct2")


def _convert_for_ctranslate2(checkpoint: Path, output: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):
        def load_model(self, model_class: Any, name: str, *, dtype: Any = None, **options: Any) -> Any:
            # It uses the new name of the argument, which transformers only knows from 4.56 on.
            return model_class.from_pretrained(name, torch_dtype=torch.float32, **options)

    Converter(str(checkpoint)).convert(str(output))


class Worker:
    """A system in its own process. The others wait while it works.

    system (str): Its name.
    directory (Path): The output of `write_checkpoints`.
    threads (int): The number of threads of its library.
    """

    def __init__(self, system: str, directory: Path, threads: int) -> None:
        self.system = system
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)
        self._pool.submit(_load, system, str(directory / FOLDERS[system]), threads).result()

    def generate(
        self, ids: list[list[int]], new: int, *, cpu_time: bool = False
    ) -> tuple[float, list[list[int]]]:
        """cpu_time (bool): Measure the CPU time of one thread instead, in case the machine runs other processes.
        RETURNS (tuple[float, list[list[int]]]): The seconds, and the generated ids for each prompt.
        """
        return self._pool.submit(_generate, ids, new, cpu_time).result()

    def memory(self) -> int:
        """RETURNS (int): The peak memory of the process, in bytes."""
        return self._pool.submit(memory, "VmHWM").result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


_continue: Callable[[list[list[int]], int], list[list[int]]]  # of this process


def _load(system: str, path: str, threads: int) -> None:
    global _continue
    torch.set_num_threads(threads)
    if system in CT2:
        _continue = _ctranslate2(path, system.rpartition(" ")[2], threads)
    elif system == THEIRS:
        model = transformers.BloomForCausalLM.from_pretrained(path, torch_dtype=torch.float32).eval()
        _continue = _with_generate(model)
    else:
        quantization = "float16" if FOLDERS[system] == "float16" else None  # the files contain integers
        model = BloomForCausalLM.from_pretrained(path, quantization=quantization)
        _continue = _with_generate(model, shortlist="shortlist" in system)


def _generate(ids: list[list[int]], new: int, cpu_time: bool) -> tuple[float, list[list[int]]]:
    clock = time.process_time if cpu_time else time.perf_counter
    start = clock()
    found = _continue(ids, new)
    return clock() - start, found


def _with_generate(model: Any, **options: Any) -> Callable[[list[list[int]], int], list[list[int]]]:
    def run(ids: list[list[int]], new: int) -> list[list[int]]:
        prompts = torch.tensor(ids)
        with torch.inference_mode():
            found = model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                **options,
            )
        return found[:, prompts.shape[1] :].tolist()

    return run


def _ctranslate2(
    path: str, compute_type: str, threads: int
) -> Callable[[list[list[int]], int], list[list[int]]]:
    import ctranslate2

    generator = ctranslate2.Generator(path, compute_type=compute_type, intra_threads=threads, inter_threads=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(Path(path).parent / "float32"))

    def run(ids: list[list[int]], new: int) -> list[list[int]]:
        tokens = [tokenizer.convert_ids_to_tokens(row) for row in ids]
        results = generator.generate_batch(
            tokens,
            max_length=new,
            min_length=new,
            sampling_topk=1,
            include_prompt_in_result=False,
            cache_static_prompt=False,
        )
        return [result.sequences_ids[0] for result in results]

    return run
