"""Four findings of the article, asked of a convolutional network and of Fashion-MNIST.

Article: findings 1, 2, 9 and 10: "Effect of batch size", "Effect of Learning Rate",
         "Getting Far Enough"
Run:     python -m raybs.sweep other_networks --seeds 3
Expect:  what the article says of its network; `python -m analysis findings` judges it
Cost:    760 epochs a seed after sharing, 190 of them of cnn; three seeds took 27
         minutes on two cores of an Intel Xeon with AVX-512

Its configs are the five that these findings compare, of two other networks:

- cnn on MNIST, for 10 epochs where the article trains 30 (160 for 480): an epoch of it
  takes several seconds, and 30 would take an hour and a half.
- one hidden layer of 128 on Fashion-MNIST, as long as in the article; left out where
  the dataset is not on this machine: this sweep does not download it.

Batch size 2 is left out: the article's text tells of it, none of these findings does.
"""

from raybs.config import Phase, TrainConfig, TrainSweep
from raybs.datasets.download import data_folder, kept_at


def _phases(epochs: int) -> tuple[Phase, ...]:
    """Return what the findings compare, `epochs` long."""
    return (
        Phase(batch_size=64, learning_rate=0.01, epochs=epochs),
        Phase(batch_size=256, learning_rate=0.01, epochs=epochs),
        Phase(batch_size=1024, learning_rate=0.01, epochs=epochs),
        Phase(batch_size=1024, learning_rate=0.1, epochs=epochs),
        # As many steps as batch size 64 takes.
        Phase(batch_size=1024, learning_rate=0.01, epochs=1024 // 64 * epochs),
    )


CNN = tuple(TrainConfig(phases=(phase,), model="cnn") for phase in _phases(10))

FASHION = tuple(
    TrainConfig(phases=(phase,), dataset="fashion_mnist", hidden=(128,))
    for phase in _phases(30)
)

LEFT_OUT = (
    ""
    if kept_at("fashion_mnist", data_folder())
    else "without Fashion-MNIST, which is not on this machine; give --data FOLDER, as "
    "in /usr/share/datasets of Debian's dataset-fashion-mnist"
)

SWEEP = TrainSweep(configs=CNN if LEFT_OUT else (*CNN, *FASHION))
