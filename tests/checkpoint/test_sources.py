"""Names of checkpoints, and the Hub as a server on this machine that speaks what huggingface_hub asks."""

import hashlib
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from spacy_bloom import BloomForCausalLM
from spacy_bloom.checkpoint.sources import (
    BUNDLED,
    BUNDLED_NAMES,
    BUNDLED_PIPELINES,
    bundled_names,
    bundled_path,
    find_checkpoint,
)
from spacy_bloom.errors import CheckpointError, InputError

FIRST, SECOND = "a" * 40, "b" * 40  # commits


class Hub(ThreadingHTTPServer):
    """Repositories as folders by commit; keeps a list of what was asked for."""

    def __init__(self):
        self.repos = {}  # {"owner/name": {revision: (commit, {file: bytes})}}
        self.asked = []
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def files_asked(self):
        return [path.rpartition("/")[2] for method, path in self.asked if "/resolve/" in path]


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        path = self.path.split("?")[0]
        self.server.asked.append((self.command, path))
        api = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models").strip("/").split("/")
        repo = self.server.repos.get("/".join(parts[:2]))
        if repo is None:
            return self.send(404, b"{}", with_body, {"X-Error-Code": "RepoNotFound"})
        if (parts[3] if len(parts) > 3 else "main") not in repo:
            return self.send(404, b"{}", with_body, {"X-Error-Code": "RevisionNotFound"})
        commit, files = repo[parts[3] if len(parts) > 3 else "main"]
        if api:
            siblings = [{"rfilename": name} for name in files]
            info = {
                "id": "/".join(parts[:2]),
                "sha": commit,
                "siblings": siblings,
                "private": False,
                "tags": [],
            }
            return self.send(200, json.dumps(info).encode(), with_body, {})
        body = files.get("/".join(parts[4:]))
        if body is None:
            return self.send(404, b"", with_body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": commit}
        return self.send(200, body, with_body, headers)

    def send(self, status, body, with_body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def hub():
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def files(tiny_checkpoint):
    """What a repository holds beside what we need, safetensors and an evil rest."""
    wanted = {file.name: file.read_bytes() for file in tiny_checkpoint.iterdir()}
    evil = [
        "evil.py",
        "pytorch_model.bin",
        "modeling_bloom.py",
        "training_args.bin",
        "README.md",
        "flax_model.msgpack",
    ]
    evil += ["sub/config.json", "tokenizer.model"]
    return {**wanted, **dict.fromkeys(evil, b"never to be fetched")}


@pytest.fixture
def ask(tmp_path, hub, python_torch):
    """Run code in a process whose Hub is the server; its last line is what it printed."""

    def run(code, *, offline=False):
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("HF_", "HUGGING")) and "proxy" not in k.lower()
        }
        env = {
            **clean,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "NO_PROXY": "127.0.0.1",
            **({"HF_HUB_OFFLINE": "1"} if offline else {}),
        }
        head = (
            "from spacy_bloom import BloomForCausalLM, BloomTokenizerFast\n"
            "from spacy_bloom.errors import CheckpointError\n"
            "load = BloomForCausalLM.from_pretrained\n"
            "total = lambda model: print(repr(model.lm_head.weight.double().sum().item()))\n"
            "def refused(name, **options):\n"
            "    try: load(name, **options)\n"
            "    except CheckpointError as error: print(error)\n"
            "    else: raise AssertionError('loaded')\n"
        )
        result = python_torch.run("-c", head + code, env=env)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip().splitlines()

    return run


def total(path):
    return repr(BloomForCausalLM.from_pretrained(path).lm_head.weight.double().sum().item())


WANTED = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
}


def test_a_name_is_fetched_once_and_only_what_is_needed(hub, ask, files, tiny_checkpoint):
    hub.repos["owner/tiny"] = {"main": (FIRST, files), FIRST: (FIRST, files)}
    assert ask(
        "total(load('owner/tiny'))\nprint(BloomTokenizerFast.from_pretrained('owner/tiny').decode([70]))"
    )[0] == (total(tiny_checkpoint))
    assert set(hub.files_asked()) == WANTED
    hub.asked.clear()
    assert ask("total(load('owner/tiny'))") == [total(tiny_checkpoint)]
    assert hub.files_asked() == []  # the revision is looked up, no file is fetched again
    hub.asked.clear()
    assert ask("total(load('owner/tiny', local_files_only=True))") == [total(tiny_checkpoint)]
    assert ask("total(load('owner/tiny'))", offline=True) == [total(tiny_checkpoint)]
    assert hub.asked == []
    hub.repos.clear()
    hub.shutdown()
    hub.server_close()
    assert ask("total(load('owner/tiny'))") == [
        total(tiny_checkpoint)
    ]  # nobody answers: what is cached serves


def test_a_tokenizer_is_fetched_without_weights(hub, ask, files):
    hub.repos["owner/tiny"] = {"main": (FIRST, files), FIRST: (FIRST, files)}
    assert ask("print(len(BloomTokenizerFast.from_pretrained('owner/tiny')))") == ["600"]
    assert set(hub.files_asked()) == WANTED - {"model.safetensors"}
    ask("total(load('owner/tiny'))")
    assert set(hub.files_asked()) == WANTED


def test_a_revision_is_respected(hub, ask, files, tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "changed")
    model = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    model.save_pretrained(tmp_path / "changed")
    changed = {**files, "model.safetensors": (tmp_path / "changed" / "model.safetensors").read_bytes()}
    first, second = (FIRST, files), (SECOND, changed)
    hub.repos["owner/tiny"] = {"main": first, "v2": second, FIRST: first, SECOND: second}
    one, other = total(tiny_checkpoint), total(tmp_path / "changed")
    assert one != other
    code = f"for r in (None, 'v2', '{SECOND}', '{FIRST}', 'main'): total(load('owner/tiny', revision=r))"
    assert ask(code) == [one, other, other, one, one]
    message = ask("refused('owner/tiny', revision='v9')")[0]
    assert "owner/tiny" in message and "v9" in message
    assert "on the Hub" in message and "internet connection" not in message


def test_shards_are_fetched(hub, ask, files, tmp_path, tiny_checkpoint):
    BloomForCausalLM.from_pretrained(tiny_checkpoint).save_pretrained(
        tmp_path / "shards", max_shard_size=20_000
    )
    shards = {file.name: file.read_bytes() for file in (tmp_path / "shards").iterdir()}
    assert len(shards) > 3
    hub.repos["owner/tiny"] = {"main": (FIRST, {**shards, "evil.py": b"x"}), FIRST: (FIRST, {**shards})}
    assert ask("total(load('owner/tiny'))") == [total(tiny_checkpoint)]
    assert set(hub.files_asked()) == set(shards)


def test_a_bin_is_fetched_where_there_is_nothing_else(hub, ask, files, tmp_path, tiny_checkpoint):
    torch.save(BloomForCausalLM.from_pretrained(tiny_checkpoint).state_dict(), tmp_path / "pytorch_model.bin")
    kept = {name: body for name, body in files.items() if name != "model.safetensors"}
    kept["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    hub.repos["owner/tiny"] = {"main": (FIRST, kept), FIRST: (FIRST, kept)}
    assert ask("total(load('owner/tiny'))") == [total(tiny_checkpoint)]
    assert set(hub.files_asked()) == WANTED - {"model.safetensors"} | {"pytorch_model.bin"}


def test_names_that_nobody_knows(hub, ask, files):
    empty = {"README.md": b"nothing else"}
    hub.repos["owner/empty"] = {"main": (FIRST, empty), FIRST: (FIRST, empty)}
    messages = ask(
        "refused('owner/nobody')\nrefused('owner/nobody', local_files_only=True)\n"
        "refused('not a name!')\nrefused('')"
    )
    assert len(messages) == 4
    for message in messages:
        assert message.startswith("No checkpoint") and "not bundled (tiny-bloom)" in message
    assert "on the Hub" in messages[0] and "in the local cache" in messages[1]
    assert not any("evil" in path for _, path in hub.asked)
    assert "local cache" in ask("refused('owner/nobody')", offline=True)[0]
    code = (
        "import spacy_bloom.errors as e\ntry: load('owner/empty')\nexcept e.BloomError as error: print(error)"
    )
    assert "config.json" in ask(code)[0]


def test_a_directory_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("owner/model", "plain"):
        (tmp_path / name).mkdir(parents=True)
        assert find_checkpoint(name).resolve() == tmp_path / name
    assert find_checkpoint(tmp_path / "plain") == tmp_path / "plain"


def test_bundled_names_mean_the_same_in_every_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in BUNDLED_NAMES:
        (tmp_path / name).mkdir()
        assert find_checkpoint(name) == BUNDLED / name
        assert find_checkpoint(f"./{name}").resolve() == tmp_path / name


@pytest.mark.parametrize("name", ["./missing", "../missing", "~/missing", "/no/such/folder", "a/b/c"])
def test_paths_are_never_looked_up_on_the_hub(name):
    with pytest.raises(CheckpointError, match=r"No directory .*Hugging Face layout"):
        find_checkpoint(name)


@pytest.mark.parametrize("name", [*BUNDLED_NAMES, *BUNDLED_PIPELINES])
def test_what_is_bundled(name):
    assert bundled_path(name) == BUNDLED / name and bundled_path(name).is_dir()
    assert name in bundled_names() and len(bundled_names()) == len(BUNDLED_NAMES) + len(BUNDLED_PIPELINES)


@pytest.mark.parametrize(
    "name", ["xx_bloom_tiny_dmeo", "", "bloom-560m", "../tiny-bloom", None, "tiny_bloom"]
)
def test_what_is_not_bundled(name):
    with pytest.raises(InputError, match="one of tiny-bloom, xx_bloom_tiny_demo, xx_bloom_tiny_qa; got"):
        bundled_path(name)


def test_adapters_without_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="adapter of peft without the model"):
        find_checkpoint(tmp_path)
    shutil.copy(BUNDLED / "tiny-bloom" / "config.json", tmp_path)
    assert find_checkpoint(tmp_path) == tmp_path
