#!/bin/sh
# Trains into file systems of several sizes that fill up, as root: sh Tests/full-disk.sh .build/release/lamina
# Each time the program must say so, the last good checkpoint must still be there, and going on from it elsewhere must
# end in the bits of a training with room enough.
set -eu
lamina=$(realpath "${1:-.build/release/lamina}")
work=$(mktemp -d)
trap 'umount "$work/small" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir small pictures

python3 - <<'PYTHON'
import random, struct
random.seed(1)
for name, count in ("train", 80), ("t10k", 40):
    pixels = bytes((150 if (p % 8 < 4) == (i % 2 == 0) else 20) + random.randrange(80)
                   for i in range(count) for p in range(64))
    with open(f"pictures/{name}-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, count, 8, 8) + pixels)
    with open(f"pictures/{name}-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">II", 0x801, count) + bytes(i % 2 for i in range(count)))
PYTHON

train="train lenet5 pictures -o model --epochs 4 --batch 8 --checkpoints"
"$lamina" $train room >/dev/null
mv model whole
bytes=$(stat -c %s room/checkpoint-*40.safetensors)

for percent in 1 50 110 160 210 260; do
  mount -t tmpfs -o size=$((bytes * percent / 100)) tmpfs small
  status=0
  "$lamina" $train small/saved >/dev/null 2>said || status=$?
  if [ $status = 0 ]; then echo "$percent %: expected an error, found none"; exit 1; fi
  grep -q 'no space left on device' said || { echo "$percent %: says $(cat said)"; exit 1; }
  if ls small/saved/*.tmp >/dev/null 2>&1; then echo "$percent %: temporary files are left"; exit 1; fi
  rm -rf elsewhere
  cp -r small/saved elsewhere
  echo "$percent %: $(tail -n 1 said)"
  umount small
  if [ -e elsewhere/COMMAND ]; then
    "$lamina" resume elsewhere >/dev/null
    cmp model whole
  fi
done
echo "every training went on to the same bits"
