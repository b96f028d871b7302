import os
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_scripts_for_torchrun_run(tmp_path, python_spacy):
    """As the only rank of a run; what several compute is compared in the other tests."""
    scripts = re.findall(
        r"^```py\n(.*?)^```", PAGE.read_text(encoding="utf8"), flags=re.DOTALL | re.MULTILINE
    )
    assert len(scripts) == 2
    code = "".join(
        f"exec(compile({script!r}, 'page', 'exec'), {{'__name__': '__main__'}})\n" for script in scripts
    )
    group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    result = python_spacy.run("-c", code, env={**os.environ, **group}, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("The river") and "Clara Mendes" in second
