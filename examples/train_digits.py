"""A convolutional classifier learns to read handwritten digits: 1,797 images of 8 by 8 pixels, which come with scikit-learn.

The model is the generated module of digits.expr, and the rest is NumPy. Run it from the project's folder with
``python -m examples.train_digits``, or with a number of passes through the images behind it.
"""

import sys
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from generated import digits


def split(rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Images with one channel of ink from 0 to 1 and their labels: three quarters to learn from, and the rest to test."""
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    images, labels = images[order].reshape(-1, 1, 8, 8).astype(np.float32) / 16, labels[order]
    learn = 3 * len(images) // 4
    return images[:learn], labels[:learn], images[learn:], labels[learn:]


def initial(rng: np.random.Generator) -> list[Any]:
    """Weights of variance 2 / inputs, which a relu keeps in scale, and biases of zero."""
    params = []
    for shape in ((16, 1, 3, 3), (32, 16, 3, 3), (32 * 2 * 2, 10)):
        inputs, outputs = (shape[0], shape[1]) if len(shape) == 2 else (int(np.prod(shape[1:])), shape[0])
        params += [rng.normal(scale=np.sqrt(2 / inputs), size=shape).astype(np.float32), np.zeros(outputs, np.float32)]
    return params


class Adam:
    """Kingma and Ba (2015): steps as long as the mean gradient is in units of its root mean square."""

    def __init__(self, params: list[Any], rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.means, self.squares = ([np.zeros_like(each) for each in params] for _ in range(2))

    def step(self, params: list[Any], gradients: Any) -> None:
        """Move the parameters, in place."""
        self.steps += 1
        for param, gradient, mean, square in zip(params, gradients, self.means, self.squares, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = square / (1 - 0.999**self.steps)
            param -= self.rate / (1 - 0.9**self.steps) * mean / (np.sqrt(unbiased) + 1e-8)


def accuracy(images: Any, labels: Any, params: list[Any]) -> float:
    """The share of images whose largest logit is their label's."""
    return float((digits.value(images, labels, *params).logits.argmax(axis=1) == labels).mean())


def main(passes: int) -> None:
    rng = np.random.default_rng(0)
    images, labels, test_images, test_labels = split(rng)
    params = initial(rng)
    adam = Adam(params, rate=0.003)
    for each in range(1, passes + 1):
        losses = []
        for batch in np.array_split(rng.permutation(len(images)), len(images) // 64):
            loss, gradients = digits.value_and_grad(images[batch], labels[batch], *params)
            adam.step(params, gradients)
            losses.append(loss)
        print(f"  pass {each:2}  loss {np.mean(losses):.4f}  test accuracy {accuracy(test_images, test_labels, params):.4f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
