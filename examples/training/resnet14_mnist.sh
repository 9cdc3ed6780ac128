#!/bin/sh -e
# The ResNet that `make demo` fits to clothes, here trained on handwritten digits; its file is beside this script.
# usage: resnet14_mnist.sh MNIST
lamina train cifar_resnet14 "$1" -o resnet14_mnist.safetensors --size 28 --epochs "${EPOCHS:-2}" --batch 64 \
  --learning-rate 0.003 --schedule cosine --seed "${SEED:-0}" \
  --note "trained on MNIST (LeCun, Cortes, Burges) by Lamina's examples/training/resnet14_mnist.sh"
