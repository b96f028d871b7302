import torch
from torch import nn

from spacy_bloom.quantization.outliers import outlier_columns, recording_largest


def test_the_largest_of_all_calls_is_recorded_by_column():
    layer = nn.Linear(3, 2)
    with recording_largest({"a": layer}) as largest:
        layer(torch.tensor([[1.0, -5.0, 0.0], [2.0, 1.0, 0.0]]))
        layer(torch.tensor([[[-3.0, 0.0, 0.5]]]))
    layer(torch.full((1, 3), 100.0))
    assert largest["a"].tolist() == [3.0, 5.0, 0.5]
    assert not layer._forward_pre_hooks


def test_columns_far_above_the_median_are_outliers():
    largest = torch.ones(64)
    largest[[40, 7, 9]] = torch.tensor([30.0, 20.0, 8.0])
    assert outlier_columns(largest, factor=8.0, max_share=0.5).tolist() == [7, 40]
    assert outlier_columns(largest, factor=7.9, max_share=0.5).tolist() == [7, 9, 40]
    assert outlier_columns(largest, factor=2.0, max_share=1 / 64).tolist() == [40]
    assert outlier_columns(largest, factor=100.0, max_share=0.5).tolist() == []
