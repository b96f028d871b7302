"""Bodies over the limit are refused before they are read, and others arrive as they are."""

import asyncio

import pytest

from spacy_bloom.serving.body_limit import BodyLimit


def ask(chunks, *, announced=None, limit=10):
    """RETURNS: status, body of the response, and number of messages read."""
    sent, read = [], [0]

    async def app(scope, receive, send):
        message = await receive()
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    async def receive():
        number = read[0]
        read[0] += 1
        if number >= len(chunks):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks[number], "more_body": number + 1 < len(chunks)}

    async def send(message):
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", announced)]
    asyncio.run(BodyLimit(app, limit)({"type": "http", "headers": headers}, receive, send))
    return (sent[0]["status"], sent[1]["body"], read[0]) if sent else (None, b"", read[0])


@pytest.mark.parametrize("chunks", [[b""], [b"0123456789"], [b"01234", b"", b"56789"]])
def test_bodies_within_the_limit(chunks):
    assert ask(chunks)[:2] == (200, b"".join(chunks))


def test_a_large_body_is_not_read():
    status, body, n_read = ask([b"0" * 100], announced=b"100")
    assert (status, n_read) == (413, 0) and b"at most 10 bytes" in body


def test_a_body_that_does_not_say_how_large_it_is():
    status, _, n_read = ask([b"012345"] * 1000)
    assert (status, n_read) == (413, 2)


@pytest.mark.parametrize("announced", [b"-1", b"many", b""])
def test_a_length_that_is_none(announced):
    assert ask([b"a"], announced=announced)[0] == 413


def test_a_client_that_goes():
    assert ask([])[0] is None


def test_other_scopes_pass():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(BodyLimit(app, 1)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
