# One image, one process: a whole exchange on an embedded chain, with all its state in /data.
# Both stages start from one tag. A digest pins harder: put it here where a registry can be asked.
FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/tillbook
WORKDIR /src
COPY requirements/run.txt requirements/run.in requirements/
RUN /opt/tillbook/bin/python -m pip install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY settlement settlement
COPY merchants merchants
COPY gateway gateway
RUN /opt/tillbook/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tillbook \
    && install --directory --owner=tillbook --group=tillbook --mode=0700 /data
COPY --from=build /opt/tillbook /opt/tillbook
# Machine code is good for one kind of processor, so it is compiled at the first start, into the
# volume, and not into the image. Nothing else but /data is written: the root may be read-only.
# In here we listen on every address and cannot know how browsers reach us: say it if not like this.
ENV PATH=/opt/tillbook/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/data/kernels \
    TILLBOOK_PUBLIC_URL=http://127.0.0.1:8787
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", \
        "from urllib.request import urlopen; urlopen('http://127.0.0.1:8787/healthz', timeout=4)"]
ENTRYPOINT ["tillbook"]
CMD ["run", "--host", "0.0.0.0", "--port", "8787", "--data", "/data/exchange"]
