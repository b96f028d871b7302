"""Commands end with a message, on the standard error, and before the work is done."""

from pathlib import Path

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli.failures import check_file, check_folder, ending_with_message
from spacy_bloom.errors import InputError

CONFIG = Path(__file__).parents[2] / "configs" / "train_lm_tiny.cfg"


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


def test_folders_to_write(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())  # nothing is made
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="got the file"):
            check_folder(wrong)


def test_what_cannot_be_written_is_noticed(tmp_path, monkeypatch):
    """As on a disk that is full or may only be read, which permissions do not tell."""

    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    for check, path in (
        (check_folder, tmp_path),
        (check_file, tmp_path / "a"),
        (check_file, tmp_path / "file"),
    ):
        with pytest.raises(InputError, match="cannot be written .Read-only file system."):
            check(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "owner/not-fetched", "OUTPUT"),
        ("trim-vocab", "owner/not-fetched", "nothing.txt", "OUTPUT"),
        ("train-lm", "CONFIG", "OUTPUT"),
        ("demo", "--output", "OUTPUT/page.html", "--pipeline", "nothing"),
        ("debug-pieces", "tiny-bloom", "--corpus", "nothing", "--html", "OUTPUT/page.html"),
        ("init-config", "OUTPUT/config.cfg", "--task", "ner"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_outputs_are_checked_before_the_work(tmp_path, arguments):
    """The output is the first to be blamed: what would be read to fill it is not there either."""
    (tmp_path / "file").write_text("")
    places = {"OUTPUT": tmp_path / "file", "CONFIG": CONFIG}
    words = [str(places.get(word, word)).replace("OUTPUT", str(tmp_path / "file")) for word in arguments]
    result = run(*words)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert str(tmp_path / "file") in result.output.replace("\n", "")
    assert "nothing" not in result.output and "not-fetched" not in result.output


def test_an_output_that_is_not_empty_is_noticed_before_a_checkpoint_is_fetched(tmp_path):
    (tmp_path / "file").write_text("")
    for arguments in (("convert", "owner/none"), ("trim-vocab", "owner/none", "nothing.txt")):
        result = run(*arguments, tmp_path)
        assert result.exit_code == 1 and "is not empty" in " ".join(result.output.split())


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
