# docker build -t genzoo . && docker run --rm -v "$PWD:/work" genzoo train ali
# On a machine with the NVIDIA container toolkit, add --gpus all to docker run.
FROM python:3.11-slim
WORKDIR /genzoo
COPY . .
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir -e .
WORKDIR /work
# Data sets outlive the container, like runs: both lie in the folder that is mounted.
ENV GENZOO_DATA=/work/data
ENTRYPOINT ["/genzoo/.venv/bin/genzoo"]
