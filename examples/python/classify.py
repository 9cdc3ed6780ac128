"""classify.py MODEL PICTURE: prints the five likeliest classes, `probability  label` on a line each."""

import sys

import lamina

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: classify.py MODEL PICTURE")
    try:
        for label, probability in lamina.load(sys.argv[1]).predict(sys.argv[2]):
            print(f"{probability:.4f}  {label}")
    except lamina.Error as error:
        sys.exit(f"classify.py: {error}")
