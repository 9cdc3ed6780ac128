"""finetune.py MODEL PICTURES RESULT: fits a trained model to a folder of pictures, a folder for each class.

The new last layer learns alone for five epochs, then everything for three; a line behind each epoch tells how it goes.
Ctrl-C finishes the batch. `finetune.c` does the same step by step.
"""

import sys

import lamina


def show(progress):
    if progress.event == "epoch":
        print(f"{progress.stage} {progress.epoch}/{progress.epochs}  loss {progress.loss:.4f}  "
              f"accuracy {progress.validation_accuracy or 0:.4f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: finetune.py MODEL PICTURES RESULT")
    try:
        pictures = lamina.Dataset(sys.argv[2], broken="skip")
        model = lamina.finetune(sys.argv[1], pictures, on_progress=show)
        model.save(sys.argv[3])
    except lamina.Error as error:
        sys.exit(f"finetune.py: {error}")
    print("wrote", sys.argv[3])
