# The Memoir server with its embedding model: it starts without any network but that of its stores.
FROM python:3.11.13-slim-bookworm AS python

FROM python AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 XDG_CACHE_HOME=/opt/memoir/cache
WORKDIR /build
RUN python -m venv /opt/memoir/venv
ENV PATH=/opt/memoir/venv/bin:$PATH
# Before the sources, so that a change of these does not install everything again.
COPY requirements/runtime.txt requirements/dev.txt requirements/
RUN pip install --require-hashes -r requirements/runtime.txt
# The build back end, in the versions and with the hashes of the lock file.
RUN awk '/^(setuptools|wheel|packaging)==/ {keep = 1} /^[a-z]/ && !/^(setuptools|wheel|packaging)==/ {keep = 0} keep' \
      requirements/dev.txt > back-end.txt \
 && pip install --require-hashes -r back-end.txt
COPY pyproject.toml README.md LICENSE ./
COPY sdk-python sdk-python
COPY server server
RUN pip install --no-deps --no-build-isolation ./sdk-python . \
 && pip check \
 && memoir models fetch \
 && python -c 'import memoir_server.app.composition'

FROM python
RUN groupadd --system --gid 10001 memoir \
 && useradd --system --uid 10001 --gid memoir --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin memoir \
 && install --directory --owner=memoir --group=memoir --mode=0700 /var/lib/memoir
COPY --from=build /opt/memoir /opt/memoir
COPY deploy/ready.py /opt/memoir/ready.py
ENV PATH=/opt/memoir/venv/bin:$PATH \
    XDG_CACHE_HOME=/opt/memoir/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER memoir
WORKDIR /var/lib/memoir
VOLUME /var/lib/memoir
EXPOSE 7600
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=6 CMD ["python", "/opt/memoir/ready.py", "127.0.0.1:7600"]
# Where it listens, its stores and its keys come from MEMOIR_ variables; without keys it listens on loopback only.
ENTRYPOINT ["memoir"]
CMD ["serve"]
