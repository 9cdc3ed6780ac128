#!/bin/sh -e
# Three LeNets from other seeds, and the mean of their probabilities, which beats each of them.
# usage: ensemble.sh MNIST
for seed in 1 2 3; do
  SEED=$seed sh -e "$(dirname "$0")/lenet5.sh" "$1"
  mv lenet5.safetensors "lenet5_$seed.safetensors"
done
lamina eval lenet5_1.safetensors lenet5_2.safetensors lenet5_3.safetensors "$1" --ensemble
