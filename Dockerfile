# The nightly job. docker-compose.yml says how it is run; `docker build .` needs nothing else.
#
# A tag is a name that its owner can move. To pin the bytes, append @sha256:... as
# `docker buildx imagetools inspect` prints it.
FROM python:3.11.15-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

WORKDIR /opt/reco

# The packages come first: they change seldom and are most of the image. Pinned and hashed, so
# whichever index serves them, it is these bytes or none.
COPY constraints.txt ./
RUN pip install --require-hashes -r constraints.txt

COPY pyproject.toml README.md ./
COPY store store
COPY cli cli
COPY batch batch
RUN pip install --no-deps --no-build-isolation .

# The only place that it writes to, besides /tmp. Made before VOLUME, so that a new volume is the
# user's own.
ENV RECO_HOME=/var/lib/reco
RUN groupadd --gid 10001 reco \
 && useradd --uid 10001 --gid 10001 --home-dir "$RECO_HOME" --no-create-home \
      --shell /usr/sbin/nologin reco \
 && install --directory --owner=reco --group=reco --mode=0700 "$RECO_HOME"
VOLUME /var/lib/reco

USER 10001:10001
WORKDIR /var/lib/reco
ENTRYPOINT ["batch"]
CMD ["run"]
