# Image of the nightly job, run by docker-compose.yml. `docker build .` needs nothing else.
#
# The owner of a tag can move it. To pin the bytes, append @sha256:... as printed by
# `docker buildx imagetools inspect`.
FROM python:3.11.15-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

WORKDIR /opt/reco

# Packages come first: they seldom change and make up most of the image. The hashes make any index
# serve these bytes or none. The file is a complete resolution, so pip adds nothing to it.
COPY constraints.txt ./
RUN pip install --no-deps --require-hashes -r constraints.txt

COPY pyproject.toml README.md ./
COPY store store
COPY cli cli
COPY batch batch
RUN pip install --no-deps --no-build-isolation .

# The only folder the job writes to, besides /tmp. Created before VOLUME, so that the user owns a new
# volume.
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
