#!/bin/sh -e
# ResNet-34 from scratch on small photos.
# usage: resnet34.sh PHOTOS
lamina train resnet34 "$1" -o resnet34.safetensors --size 96 --epochs "${EPOCHS:-12}" --batch 32 \
  --optimizer sgd --learning-rate 0.02 --weight-decay 1e-4 --schedule one-cycle --label-smoothing 0.1 \
  --augment --seed "${SEED:-0}"
