#!/bin/sh -e
# AlexNet with two towers and local response normalisation, trained as its paper has it (section 5).
# usage: alexnet.sh PHOTOS, folders train and val
lamina train alexnet_paper "$1" -o alexnet.safetensors --epochs "${EPOCHS:-10}" --batch 128 \
  --optimizer sgd --momentum 0.9 --learning-rate 0.01 --weight-decay 5e-4 --schedule plateau \
  --augment --lighting 0.1 --seed "${SEED:-0}"
