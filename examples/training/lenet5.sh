#!/bin/sh -e
# LeNet-5 with ReLU and max pooling on MNIST: 0.989 and more.
# usage: lenet5.sh MNIST, the folder of the four files
lamina train lenet5 "$1" -o lenet5.safetensors --epochs "${EPOCHS:-10}" --batch 64 --schedule cosine --seed "${SEED:-0}"
