"""1998, in half a minute: kernels that look everywhere for the same thing read TinyDigits.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998.
As in LeNet-5: convolution, tanh, averaging over 2x2, convolution, layers of 120 and 84 units.
Not as in LeNet-5: the images are 8x8, so kernels are 3x3 and one averaging is enough; the outputs are a softmax with
cross-entropy instead of distances to drawn digits; momentum takes the place of second derivatives.

    python milestones/04_1998_cnn/01_lecun_tinydigits.py --plot digits.png
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from any directory
from command_line import options, ran, watched
from data_manager import DatasetManager
from gradients import Tensor, nn, repeatable, torch

BATCH, RATE, MOMENTUM = 20, 0.02, 0.9


def network() -> nn.Module:
    """LeNet-5 for images of 8x8: the layers keep their names, C convolves, S averages, F connects all."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.Tanh(),  # C1: 16 maps of 8x8
        nn.AvgPool2d(2),  # S2: 4x4
        nn.Conv2d(16, 32, 3), nn.Tanh(),  # C3: 32 maps of 2x2
        nn.Conv2d(32, 120, 2), nn.Tanh(), nn.Flatten(),  # C5: 120 units, each seeing the whole image
        nn.Linear(120, 84), nn.Tanh(),  # F6
        nn.Linear(84, 10),
    )  # fmt: skip


@torch.no_grad()
def read(model: nn.Module, images: Tensor) -> Tensor:
    """The digit whose output is the strongest, for every image."""
    return model(images).argmax(dim=1)


def main() -> None:
    """Learn from 1,000 digits, read 200 others."""
    asked = options(__doc__, epochs=40, quick=10)
    repeatable(asked.seed)
    digits = DatasetManager().get("tinydigits")
    test_images, test_labels = map(torch.tensor, digits.test.arrays(channels="first"))
    batches = digits.train.batches(BATCH, shuffle=True, seed=asked.seed, channels="first")

    model = network()
    descent = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    accuracies: list[float] = []
    started = time.perf_counter()
    for epoch in watched(range(1, asked.epochs + 1), "learning"):
        for images, labels in batches:
            loss = nn.functional.cross_entropy(model(torch.from_numpy(images)), torch.from_numpy(labels))
            descent.zero_grad()
            loss.backward()
            descent.step()
        accuracies.append((read(model, test_images) == test_labels).double().mean().item())
        if epoch % 5 == 0 or epoch == asked.epochs:
            print(f"epoch {epoch:2}: loss {loss.item():.4f}, test accuracy {accuracies[-1]:.1%}")
    took = time.perf_counter() - started

    if asked.plot:
        from pictures import classified

        guesses = read(model, test_images).numpy()
        classified(asked.plot, "A small LeNet reads TinyDigits", accuracies, *digits.test.arrays(), guesses,
                   digits.classes)  # fmt: skip
    print(f"TinyDigits, LeNet: test accuracy {accuracies[-1]:.1%}; {asked.epochs} epochs, {took:.1f} s")


if __name__ == "__main__":
    ran(main)
