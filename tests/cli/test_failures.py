"""Commands end with a message, on the standard error, and before the work is done."""

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli.failures import check_file, ending_with_message
from spacy_bloom.errors import InputError


def run(*arguments):
    return CliRunner().invoke(app, ["bloom", *map(str, arguments)])


@pytest.mark.parametrize(
    "error, message",
    [
        (InputError("Got a, expected b."), "Got a, expected b."),
        (OSError(28, "No space left", "x.html"), "'x.html'"),
    ],
)
def test_messages(capsys, error, message):
    @ending_with_message
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        command()
    captured = capsys.readouterr()
    assert ended.value.code == 1 and message in captured.err and captured.out == ""


def test_what_is_no_bad_input_stays_an_error():
    for error in (BrokenPipeError(), ZeroDivisionError()):

        @ending_with_message
        def command(error=error):
            raise error

        with pytest.raises(type(error)):
            command()


def test_files_to_write(tmp_path):
    check_file(tmp_path / "new" / "folder" / "page.html")
    assert (tmp_path / "new" / "folder").is_dir()
    for nothing in (None, "-"):
        check_file(nothing)
    with pytest.raises(InputError, match="to be a file or a new name, got a folder"):
        check_file(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        check_file(tmp_path / "file" / "page.html")


def test_paths_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "x"
    for arguments in (
        ("init-config", tmp_path, "--task", "ner", "--force"),
        ("init-config", below, "--task", "ner"),
        ("debug-pieces", "tiny-bloom", "text", "--json", tmp_path),
        ("debug-pieces", "tiny-bloom", "text", "--html", below),
        ("convert", "tiny-bloom", below),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit), arguments
        assert str(tmp_path) in result.output.replace("\n", "")


def test_bad_arguments_leave_no_folder(tmp_path):
    assert run("init-config", tmp_path / "new" / "c.cfg", "--task", "nonsense").exit_code == 1
    assert not (tmp_path / "new").exists()
