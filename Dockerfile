# A worker, as one image: `docker build --tag swirl .`. The commands and the ads pipeline are in it too.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/swirl
COPY requirements/worker.txt /src/requirements/
RUN /opt/swirl/bin/python -m pip install --require-hashes --requirement /src/requirements/worker.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE /src/
COPY swirl /src/swirl
COPY detectors /src/detectors
COPY pipelines /src/pipelines
# Who has built it need not be in the image.
RUN /opt/swirl/bin/python -m pip install --no-deps --no-build-isolation /src \
 && /opt/swirl/bin/python -m pip uninstall --yes hatchling editables pip

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/swirl /opt/swirl
# Nothing is written, so the root file system may be read-only. /metrics has to be reached from outside.
ENV PATH=/opt/swirl/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SWIRL_HTTP=0.0.0.0:9464
USER 65532:65532
WORKDIR /
EXPOSE 9464
# A worker that gives up ends by itself; this tells the engine of one that is about to.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f\"http://127.0.0.1:{os.environ['SWIRL_HTTP'].rpartition(':')[2]}/livez\", timeout=4)"]
CMD ["swirl", "worker"]
