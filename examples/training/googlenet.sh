#!/bin/sh -e
# GoogLeNet with batch normalisation, which learns by its two auxiliary heads as well, each counting 0.3.
# usage: googlenet.sh PHOTOS
lamina train googlenet "$1" -o googlenet.safetensors --size 112 --epochs "${EPOCHS:-12}" --batch 32 \
  --optimizer sgd --learning-rate 0.02 --weight-decay 2e-4 --schedule cosine --augment --seed "${SEED:-0}"
