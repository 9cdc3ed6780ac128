#!/bin/sh -e
# Five convolutions of 'Hands-On Machine Learning', third edition, chapter 14, with Nadam: 0.915 and more in 10 epochs.
# usage: fashion_mnist.sh [FASHION-MNIST], by default where Debian's package dataset-fashion-mnist puts it
lamina train fashion_mnist_cnn "${1:-/usr/share/datasets/fashion-mnist}" -o fashion_mnist.safetensors \
  --epochs "${EPOCHS:-10}" --optimizer nadam --schedule cosine --seed "${SEED:-0}"
