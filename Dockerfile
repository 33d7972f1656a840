# The server of serve_captions: `docker build -t captionlake .`, then docs/serving.md. Torch is the build for CPUs.
FROM python:3.12-slim AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
RUN pip install --no-cache-dir uv==0.13.8
COPY pyproject.toml requirements.lock README.md ./
# The lock names everything that the project needs anywhere; as constraints it gives the versions of what the server needs.
RUN sed -E '/^(cuda|nvidia|triton)/d' requirements.lock > constraints.txt \
    && uv venv /venv \
    && uv pip compile --extra serve --extra photos --extra mlflow --constraint constraints.txt --torch-backend cpu pyproject.toml -o server.txt \
    && uv pip install --no-cache --python /venv/bin/python --torch-backend cpu -r server.txt
COPY lib lib
COPY jobs jobs
COPY model model
COPY conf conf
COPY sql sql
RUN uv pip install --no-cache --python /venv/bin/python --no-deps --editable .

FROM python:3.12-slim
# What the drawers of molecules load.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libfontconfig1 libfreetype6 libxrender1 libxext6 libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home captionlake \
    && install --directory --owner captionlake /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Settings may follow: docker run captionlake --set serving.num_processes=4
ENTRYPOINT ["python", "-m", "jobs.serve_captions", "--verbose", "--set", "storage.root=/data", "--set", "serving.host=0.0.0.0"]
