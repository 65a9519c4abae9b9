#!/bin/sh
# All measurements of this project, one after the other; JSON goes to benchmarks/results.
# FACES names a folder with celeba/ and lfw/ in it (aligned crops, a folder per subject).
set -eu
BIN=${1:-.venv/bin}
"$BIN/python" benchmarks/fuzz_wire.py --messages 1000000
FACES=${FACES:-../shared/data}
RESULTS=benchmarks/results
if [ ! -d "$FACES/celeba" ] || [ ! -d "$FACES/lfw" ]; then
  echo "SKIPPED: no celeba/ and lfw/ below $FACES; set FACES to a folder that holds them" >&2
  exit 0
fi
mkdir -p "$RESULTS"
"$BIN/python" benchmarks/device.py --photos "$FACES/raw_photos"
"$BIN/xnn" extractor fetch vit-s14
"$BIN/python" benchmarks/pipeline.py --faces "$FACES/celeba" --extractor dlib --out "$RESULTS/pipeline-dlib.json"
"$BIN/python" benchmarks/pipeline.py --faces "$FACES/celeba" --extractor vit-s14 --crops 1024 --rounds 3 \
  --out "$RESULTS/pipeline-vit-s14.json"
"$BIN/xnn" bench utility --victim "$FACES/celeba" --extractor dlib --schemes plain,paper --seeds 3 \
  --out "$RESULTS/utility-celeba-dlib.json"
"$BIN/python" benchmarks/record_types.py --faces "$FACES/celeba" --out "$RESULTS/record-types.json"
"$BIN/xnn" bench utility --victim "$FACES/celeba" --extractor vit-s14 --schemes plain,paper --seeds 3 \
  --epochs 6 --out "$RESULTS/utility-celeba-vit-s14.json"
"$BIN/python" benchmarks/wire.py --faces "$FACES/celeba"
sh benchmarks/boards.sh "$BIN"
"$BIN/python" benchmarks/table.py
