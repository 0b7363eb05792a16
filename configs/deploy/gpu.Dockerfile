# An image for a node with an NVIDIA GPU, from the root of the source:
#
#   docker build -f configs/deploy/gpu.Dockerfile -t quire:gpu .
#
# The node's driver comes into the container with the GPU: Docker's --gpus all, or
# Kubernetes' nvidia.com/gpu. It wants glibc, which Alpine and the static images lack;
# without a GPU the program built with -tags nogpu needs neither.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /quire ./pipelines/quire

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /quire /usr/local/bin/quire
# What the container gets of the driver: libcuda.so.1 and its compiler.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER nobody
ENTRYPOINT ["quire"]
