# The service alone: it has no extractor to look at a face with. Build it with
#   docker build --build-arg PIP_INDEX_URL=... .    (an index with CPU builds of torch makes it small)
FROM node:22-slim AS console
WORKDIR /build
COPY console/package.json console/package-lock.json console/.npmrc console/
RUN npm --prefix console ci --no-audit --no-fund
COPY console/copy.mjs console/
RUN node console/copy.mjs

FROM python:3.11-slim AS install
ARG PIP_INDEX_URL
WORKDIR /build
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY --from=console /build/src/xnn/server/console/vendor src/xnn/server/console/vendor
RUN python -m venv /opt/xnn \
 && /opt/xnn/bin/pip install --no-cache-dir --disable-pip-version-check '.[serve,postgres,approximate]'

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/xnn xnn
COPY --from=install /opt/xnn /opt/xnn
ENV PATH=/opt/xnn/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/xnn
VOLUME /var/lib/xnn
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["xnn"]
CMD ["serve"]
