from spacy_bloom.generation.rows import Row


def test_a_rows_pieces_are_its_prompt_and_what_was_added():
    prompt = (3, 5)
    row, other = Row(prompt, number=2), Row(prompt, [4], 2)
    row.generated.append(7)
    assert row.pieces == [3, 5, 7] and other.pieces == [3, 5, 4]
    assert row.prompt is other.prompt and row.number == other.number == 2
    assert Row(prompt).generated == [] and Row(prompt).number == 0
