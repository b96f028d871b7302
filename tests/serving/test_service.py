"""Requests get their own results, or a status that says why not."""

import asyncio
import threading

import pytest

from spacy_bloom.serving.messages import ProcessRequest
from spacy_bloom.serving.service import Refusal


def refusal(service, **request):
    with pytest.raises(Refusal) as caught:
        asyncio.run(service.process(ProcessRequest(**request)))
    return caught.value.status, caught.value.detail


def test_many_requests_at_once(make_service):
    service = make_service(batch_length=40)
    service.warm_up()
    texts = [f"Ana {'x' * (n % 7)} number {n}" for n in range(60)]

    async def ask_all():
        requests = [ProcessRequest(texts=texts[n : n + 3]) for n in range(0, 60, 3)]
        return await asyncio.gather(*map(service.process, requests))

    responses = asyncio.run(ask_all())
    found = [result for response in responses for result in response.results]
    assert [result.text for result in found] == texts
    assert [result.doc["text"] for result in found] == texts and all(r.doc["ents"] for r in found)


def test_bad_texts_have_errors_of_their_own(make_service):
    response = asyncio.run(make_service().process(ProcessRequest(texts=["Ana", "bad", "Ana"])))
    assert [result.error for result in response.results] == [None, "bad text", None]
    assert [result.doc is None for result in response.results] == [False, True, False]


@pytest.mark.parametrize(("text", "status"), [("bad", 422), ("broken", 500)])
def test_a_single_text_that_fails(make_service, text, status):
    assert refusal(make_service(), text=text)[0] == status


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"text": "x" * 21}, 413, "at most 20 characters, got 21"),
        ({"texts": ["x"] * 4}, 413, "at most 3 texts, got 4"),
        ({"texts": ["x" * 20] * 3}, 413, "at most 50 characters"),
        ({"text": "x", "parts": ["annotation", "more"]}, 422, "got more"),
        ({"text": "x", "questions": ["Who?"]}, 422, "no part answers"),
    ],
)
def test_refused(make_service, request_, status, said):
    found, detail = refusal(make_service(max_length=20, max_texts=3, max_queue=50), **request_)
    assert found == status and said in detail


@pytest.fixture
def held(nlp):
    """An event that lets the pipeline go on, which waits until then."""
    may_go, component = threading.Event(), nlp.get_pipe("tests_strict")
    pipe = component.pipe

    def wait(stream, batch_size=128):
        docs = list(stream)
        assert may_go.wait(10)
        return pipe(docs)

    component.pipe = wait
    yield may_go
    may_go.set()


def test_no_room_and_no_time(make_service, held):
    service = make_service(max_queue=10, timeout=0.3)

    async def ask():
        first = asyncio.ensure_future(service.process(ProcessRequest(text="Ana")))
        await asyncio.sleep(0.1)  # the worker has it
        second = asyncio.ensure_future(service.process(ProcessRequest(text="x" * 10)))
        await asyncio.sleep(0)
        third = await asyncio.gather(service.process(ProcessRequest(text="y")), return_exceptions=True)
        return await asyncio.gather(first, second, return_exceptions=True) + third

    assert [refusal.status for refusal in asyncio.run(ask())] == [504, 504, 503]
    held.set()
    service.close()
    assert service.queue.size == 0  # what was too late is not done


def test_closed(make_service):
    service = make_service()
    service.close()
    assert refusal(service, text="Ana") == (503, "The service is being stopped.")


def test_warming_up_tells_what_is_wrong(make_service, nlp):
    def fail(stream, batch_size=1):
        raise RuntimeError("no weights")

    nlp.get_pipe("tests_strict").pipe = fail
    with pytest.raises(RuntimeError, match="no weights"):
        make_service().warm_up()
