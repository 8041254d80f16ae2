# docker build -t genzoo . && docker run --rm -v "$PWD:/work" genzoo train ali
# On a machine with the NVIDIA container toolkit, add --gpus all to docker run.
FROM python:3.11-slim
WORKDIR /genzoo
COPY . .
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir -e .
WORKDIR /work
ENTRYPOINT ["/genzoo/.venv/bin/genzoo"]
