"""How a model's weights are divided among devices: which are cut by rows, which by columns, which stay whole.

A layer cut by rows computes a part of its output from the whole input; one cut by columns takes that part and computes
a term of the whole output. A pair of them needs one sum over the devices. The fused projection of queries, keys and
values is interleaved head by head, so that equal runs of its rows are whole heads if the devices divide their number.

SOURCE: Shoeybi et al. 2019 (arXiv 1909.08053).
"""

ROWS = ("self_attention.query_key_value", "mlp.dense_h_to_4h", "word_embeddings", "lm_head")
COLUMNS = ("self_attention.dense", "mlp.dense_4h_to_h")


def cut_dimension(name: str) -> int | None:
    """The dimension along which a weight is cut. It is that of a file's tensors, (out, in) for matrices.

    name (str): With or without the `transformer.` prefix.
    RETURNS (int | None): 0 for rows, 1 for columns, None for weights that every device has whole.
    """
    layer, _, kind = name.rpartition(".")
    if layer.endswith(ROWS):
        return 0  # a bias is cut like the rows of its matrix
    # The bias of the other half is added once, to the sum.
    return 1 if layer.endswith(COLUMNS) and kind == "weight" else None
