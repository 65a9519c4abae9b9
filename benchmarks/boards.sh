#!/bin/sh
# The boards of the documents. Hours on two cores; stopped and run again, each goes on where it was.
set -eu
BIN=${1:-.venv/bin}
FACES=${FACES:-../shared/data}
RESULTS=benchmarks/results
WORK=${WORK:-bench-out}
if [ ! -d "$FACES/celeba" ] || [ ! -d "$FACES/lfw" ]; then
  echo "SKIPPED: no celeba/ and lfw/ below $FACES; set FACES to a folder that holds them" >&2
  exit 0
fi
mkdir -p "$WORK" "$RESULTS"
export OMP_NUM_THREADS=1
board() { # extractor, schemes, attacks, more options
  extractor=$1 schemes=$2 attacks=$3 name=${NAME:-$1}
  shift 3
  "$BIN/xnn" board --victim "$FACES/celeba" --public "$FACES/lfw" --extractor "$extractor" --schemes "$schemes" \
    --attacks "$attacks" --seeds 3 --records "${RECORDS:-2000}" --probes "${PROBES:-300}" \
    --public-photos 2000 --out "$WORK/board-$name.json" "$@" > "$WORK/board-$name.log" 2>&1
  cp "$WORK/board-$name.json" "$WORK/board-$name.log" "$RESULTS/"
}
board dlib all all --pairs 4,16,100
board vit-s14 plain,paper,pooled,pooled-noise-2,pooled-noise-4,pooled-noise-4-by-2,pooled-noise-6,pooled-noise-16 \
  unpaired-moments,known-plaintext,class-averaging,label-size,gram-features,class-reading,learned-alignment,label-constellation,class-anchors \
  --pairs 4,16,100
RECORDS=4000 PROBES=4000 NAME=all-records-dlib board dlib plain,pooled-noise-4,pooled-noise-4-by-2,pooled-noise-6 \
  gram-features,class-reading,learned-alignment,distilled-linkage,tail-inversion,class-anchors,learned-inversion \
  --pairs 16 --no-utility
"$BIN/xnn" bench noise --victim "$FACES/celeba" --public "$FACES/lfw" --seeds 3 --out "$WORK/noise-celeba-lfw.json"
"$BIN/xnn" bench noise --victim "$FACES/lfw" --public "$FACES/celeba" --seeds 3 --out "$WORK/noise-lfw-celeba.json"
cp "$WORK/noise-celeba-lfw.json" "$WORK/noise-lfw-celeba.json" "$RESULTS/"
for extractor in dlib vit-s14; do
  CELLS=$WORK/board-$extractor.json.cells
  "$BIN/python" benchmarks/exposure.py --extractor "$extractor" --schemes paper,pooled-noise-4,pooled-noise-4-by-2,pooled-noise-6 --cells "$CELLS"
  "$BIN/python" benchmarks/many_pairs.py --extractor "$extractor" --features "$CELLS"
  "$BIN/python" benchmarks/class_sizes.py --extractor "$extractor" --noise 4 --features "$CELLS"
  "$BIN/python" benchmarks/obfuscation.py --faces "$FACES/celeba" --extractor "$extractor"
done
