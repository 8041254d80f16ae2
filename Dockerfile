# docker build -t genzoo . && docker run --rm -v "$PWD:/mnt" genzoo train ali
# On a machine with the NVIDIA container toolkit, add --gpus all to docker run.
FROM python:3.11-slim
WORKDIR /genzoo
COPY . .
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir -e .
WORKDIR /mnt
# Data sets outlive the container, like runs: both lie in the folder that is mounted.
ENV GENZOO_DATA=/mnt/data
ENTRYPOINT ["/genzoo/.venv/bin/genzoo"]
