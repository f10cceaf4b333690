"""Text for terminals: the table of an evaluation at any width."""

from crossfade.cli.evaluating import table_lines

ROWS = [
    ("model", "n", "ndcg@10", "gini@10"),
    ("blend", "12", "0.1 [0.0, 0.2]", "0.5"),
    ("ease", "9", "0.1", "0.25"),
]


def test_a_wide_terminal_holds_the_table_in_one_piece() -> None:
    assert table_lines(ROWS, 40) == [
        "model   n         ndcg@10  gini@10",
        "blend  12  0.1 [0.0, 0.2]      0.5",
        "ease    9             0.1     0.25",
    ]


def test_a_table_as_wide_as_the_terminal_stays_whole() -> None:
    (widest,) = {len(line) for line in table_lines(ROWS, None)}
    assert table_lines(ROWS, widest) == table_lines(ROWS, None)
    assert table_lines(ROWS, widest - 1) != table_lines(ROWS, None)


def test_what_does_not_fit_goes_below_with_its_model_and_n() -> None:
    assert table_lines(ROWS, 25) == [
        "model   n         ndcg@10",
        "blend  12  0.1 [0.0, 0.2]",
        "ease    9             0.1",
        "",
        "model   n  gini@10",
        "blend  12      0.5",
        "ease    9     0.25",
    ]


def test_no_terminal_is_too_narrow_for_a_whole_cell() -> None:
    text = "\n".join(table_lines(ROWS, 5))
    for row in ROWS:
        for cell in row:
            assert cell in text
