from spacy_bloom.pretraining.sharded.model import own_rows


def test_each_rank_reads_its_rows_of_a_checkpoint(report):
    for number, rank in enumerate(report["two"]):
        parts = rank["parts"]
        assert parts["equal"] and parts["tied"] and parts["names"]
        assert parts["shapes"]["transformer.word_embeddings.weight"] == [(151, 150)[number], 18]
        assert parts["shapes"]["transformer.h.0.mlp.dense_4h_to_h.weight"] == [9, 72]


def test_rows_are_divided_as_torch_does():
    import torch

    for n_rows in (1, 5, 8, 9):
        whole = torch.arange(n_rows)
        for n_ranks in (1, 2, 3, 4, 8):
            parts = [whole[own_rows(rank, n_ranks)("weight", (n_rows,)).slices] for rank in range(n_ranks)]
            chunks = whole.chunk(n_ranks)
            assert [part.tolist() for part in parts[: len(chunks)]] == [chunk.tolist() for chunk in chunks]
            assert sum(map(len, parts)) == n_rows
