"""Starting with a large batch does not trap the model: switching later recovers.

Article: "Can you recover good asymptotic behavior by lowering the batch size?"
Run:     python -m raybs.sweep recovery
Expect:  every config but the second ends near 98 % test accuracy
Cost:    180 epochs after sharing; 14 minutes on two cores as the plan estimates
"""

from dataclasses import replace

from raybs.config import Phase, TrainConfig, TrainSweep

small = Phase(batch_size=64, learning_rate=0.01, epochs=30)
large = Phase(batch_size=1024, learning_rate=0.01, epochs=30)

SWEEP = TrainSweep(
    configs=(
        TrainConfig(phases=(small,)),  # reference
        TrainConfig(phases=(large, large)),  # control: as many epochs, no switch
        TrainConfig(phases=(replace(large, epochs=1), small)),
        TrainConfig(phases=(large, small)),
        TrainConfig(phases=(large, replace(large, learning_rate=0.1))),
    ),
    last_epochs=30,  # the article's figure shows these: 30, 31 and 60 compare
)
