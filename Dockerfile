# A pipeline as a service. The network is needed to build the image, and never afterwards:
#   docker build --tag spacy-bloom .
#   docker run --publish 127.0.0.1:8000:8000 --read-only spacy-bloom
#   docker run --publish 127.0.0.1:8000:8000 --volume ./training/model-best:/pipeline:ro spacy-bloom /pipeline
FROM python:3.12-slim AS build
# For machines without a GPU, an index with PyTorch's CPU wheels makes the image several GB smaller.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE constraints.txt ./
COPY spacy_bloom spacy_bloom
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[serve]"

FROM python:3.12-slim
COPY --from=build /venv /venv
RUN useradd --system --no-create-home --shell /usr/sbin/nologin bloom
USER bloom
# Nothing is fetched, and nothing is written but to the standard output.
ENV PATH=/venv/bin:$PATH HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
# Without a shell in between, SIGTERM reaches the service, which finishes what it has taken.
ENTRYPOINT ["python", "-m", "spacy", "bloom", "serve", "--host", "0.0.0.0"]
CMD ["xx_bloom_tiny_demo", "--answerer", "xx_bloom_tiny_qa", "--model", "tiny-bloom"]
