"""The server as a process: it answers, and ends on SIGTERM when what it has taken is done."""

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from spacy_bloom.errors import InputError
from spacy_bloom.serving.server import check_installed

# Without the command, whose imports take longer than all the rest.
RUN = """
import sys, time
import spacy
from spacy.language import Language
from spacy_bloom.serving.app import make_app
from spacy_bloom.serving.parts import annotating_part
from spacy_bloom.serving.server import run_server
from spacy_bloom.serving.service import Service
from spacy_bloom.serving.settings import ServingSettings

@Language.component("slow")
def slow(doc):
    time.sleep(1.0 if "slow" in doc.text else 0.0)
    return doc

nlp = spacy.blank("xx")
nlp.add_pipe("slow")
service = Service({"annotation": annotating_part(nlp)}, ServingSettings())
service.warm_up()
run_server(make_app(service, version="1"), host="127.0.0.1", port=int(sys.argv[1]), grace=20)
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def server(python_spacy):
    port = free_port()
    process = python_spacy.start("-c", RUN, port)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield process, url
    finally:
        process.kill()
        process.wait()


CLIENT = httpx.Client(
    verify=False, timeout=5
)  # reading certificates for each request takes longer than the server


def wait_for(url, process):
    for _ in range(1200):
        assert process.poll() is None, process.outputs()
        try:
            if CLIENT.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError("The server does not answer.")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once.")
def test_sigterm_finishes_what_was_taken(server):
    process, url = server
    with ThreadPoolExecutor() as threads:
        texts = [f"slow {number}" for number in range(2)]
        answers = [
            threads.submit(CLIENT.post, f"{url}/v1/process", json={"text": text}, timeout=30)
            for text in texts
        ]
        while "queue_characters 0.0" in CLIENT.get(f"{url}/metrics").text and not answers[0].done():
            time.sleep(0.02)
        process.kill(signal.SIGTERM)
        responses = [answer.result() for answer in answers]
    assert [response.status_code for response in responses] == [200, 200]
    assert [response.json()["results"][0]["doc"]["text"] for response in responses] == texts
    assert process.wait(20) == 0
    with pytest.raises(httpx.TransportError):
        CLIENT.get(f"{url}/health")


def test_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"spacy-bloom\[serve\]"):
        check_installed()
