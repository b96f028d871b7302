"""The application over HTTP: JSON, the page, health, figures and its own description."""

import pytest
from fastapi.testclient import TestClient

from spacy_bloom.serving.app import make_app


@pytest.fixture
def client(make_service):
    with TestClient(make_app(make_service(max_length=100), version="1.2.3")) as client:
        yield client


def test_one_text_and_many(client):
    one = client.post("/v1/process", json={"text": "Ana sings"})
    assert one.status_code == 200
    (result,) = one.json()["results"]
    assert result["doc"]["ents"] == [{"start": 0, "end": 3, "label": "PER"}] and "error" not in result
    many = client.post("/v1/process", json={"texts": ["bad", "", "🙂 Ana"]}).json()["results"]
    assert many[0]["error"] == "bad text" and many[1]["doc"]["tokens"] == []
    assert many[2]["doc"]["ents"] == [{"start": 2, "end": 5, "label": "PER"}]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"text": "bad"}', 422),
        (b'{"text": "' + b"x" * 101 + b'"}', 413),
        (b'{"text": "\\ud800"}', 422),
        (b'{"text": "\xff"}', 400),
        (b"{", 422),
        (b"[]", 422),
        (b'{"text": 3}', 422),
        (b"", 422),
    ],
)
def test_refusals_say_why(client, content, status):
    response = client.post("/v1/process", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    assert isinstance(response.json()["detail"], str) and len(response.content) < 400


def test_a_large_body(client):
    assert client.post("/v1/process", content=b"0" * 4_000_000).status_code == 413


def test_a_service_that_stops(make_service):
    service = make_service()
    client = TestClient(make_app(service, version="1"))
    with client:
        assert client.get("/health").json()["status"] == "ok"
    assert client.get("/health").status_code == 503
    response = client.post("/v1/process", json={"text": "Ana"})
    assert response.status_code == 503 and int(response.headers["Retry-After"]) > 0


def test_figures(client):
    client.post("/v1/process", json={"text": "Ana"})
    client.post("/v1/process", json={"text": "bad"})
    lines = client.get("/metrics").text.splitlines()
    assert 'spacy_bloom_requests_total{status="200"} 1.0' in lines
    assert 'spacy_bloom_requests_total{status="422"} 1.0' in lines
    assert 'spacy_bloom_texts_total{outcome="done",part="annotation"} 1.0' in lines


def test_the_page_needs_nothing_from_elsewhere(client):
    page, script = client.get("/"), client.get("/serve.js")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert 'id="part-annotation"' in page.text and 'id="question"' not in page.text
    for content in (page.text, script.text):
        assert "http" not in content.replace("http://www.w3.org", "")
    assert "innerHTML" not in script.text and "prefers-color-scheme: dark" in page.text


def test_it_describes_itself(client):
    described = client.get("/openapi.json").json()
    operation = described["paths"]["/v1/process"]["post"]
    assert {"200", "413", "422", "503", "504"} <= set(operation["responses"])
    assert "ProcessedText" in described["components"]["schemas"] and described["info"]["version"] == "1.2.3"
    assert client.get("/docs").status_code == 404  # it would load scripts from elsewhere
