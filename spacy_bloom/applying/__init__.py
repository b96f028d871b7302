"""A pipeline over a corpus: shards of texts in, shards of Docs out, each once."""

from .annotator import DocBatches, ShardAnnotator
from .apply import Applied, apply_pipeline
from .engines import InProcess, Processes
from .ray_actors import RayActors
from .shards import Shard

__all__ = [
    "Applied",
    "DocBatches",
    "InProcess",
    "Processes",
    "RayActors",
    "Shard",
    "ShardAnnotator",
    "apply_pipeline",
]
