"""What the article says: its numbers, by the label of the config they belong to.

Source: "Effect of batch size on training dynamics", Kevin Shen, 2018. Accuracies are in
per cent as printed. W and B: "Getting Far Enough"; norms and cosines: "ADAM vs SGD";
the other accuracies: the text of their sections.
"""

from typing import Any

ARTICLE: dict[str, dict[str, Any]] = {
    "2 @ 0.01 x 30": {"final_test_accuracy": 99},
    "64 @ 0.01 x 30": {
        "final_test_accuracy": 98,
        "final_weight_distance": 6.71,
        "final_bias_distance": 0.11,
        "final_weight_norm": 44.9,
        "final_cosine_to_init": (0.988, 0.993, 0.928),
    },
    "1024 @ 0.01 x 30": {
        "final_test_accuracy": 95,  # its table; "about 96" in the text
        "final_weight_distance": 2.69,
        "final_bias_distance": 0.07,
        "final_weight_norm": 44.1,
        "final_cosine_to_init": (0.998, 0.998, 0.978),
    },
    "1024 @ 0.1 x 30": {
        "final_test_accuracy": 98,
        "final_weight_distance": 5.89,
        "final_bias_distance": 0.10,
        "final_weight_norm": 44.7,
        "final_cosine_to_init": (0.991, 0.994, 0.936),
    },
    "1024 @ 0.01 x 480": {
        "final_test_accuracy": 98,
        "final_weight_distance": 6.63,
        "final_bias_distance": 0.11,
        "final_weight_norm": 44.9,
        "final_cosine_to_init": (0.989, 0.993, 0.930),
    },
    "64 @ 0.01 x 30, adam": {
        "final_test_accuracy": 95,
        "final_weight_distance": 254.3,
        "final_bias_distance": 18.3,
        "final_weight_norm": 258,
        "final_cosine_to_init": (0.124, 0.359, 0.153),
    },
    "1024 @ 0.01 x 1 -> 64 @ 0.01 x 30": {"final_test_accuracy": 98},
    "1024 @ 0.01 x 30 -> 64 @ 0.01 x 30": {"final_test_accuracy": 98},
    "1024 @ 0.01 x 30 -> 1024 @ 0.1 x 30": {"final_test_accuracy": 98},
}
