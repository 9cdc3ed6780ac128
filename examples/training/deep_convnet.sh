#!/bin/sh -e
# DeepConvNet of 'Deep Learning from Scratch', section 8.1, with Adam(0.001): 0.993 and more within 20 epochs.
# usage: deep_convnet.sh MNIST
lamina train deep_convnet "$1" -o deep_convnet.safetensors --epochs "${EPOCHS:-20}" --batch 100 \
  --optimizer adam --learning-rate 0.001 --seed "${SEED:-0}"
