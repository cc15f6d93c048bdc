"""Published search spaces of Keras Tuner."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.spaces.space import Space
from robusttune._space import Choice, Float, Int, Parameter

_TUNER = "keras-tuner "


def _keras_tuner(
    source: str,
    *parameters: tuple[Parameter, str],
    optimizer: str = "adam",
    changes: Mapping[str, str] | None = None,
) -> Space:
    return Space(source, "keras_tuner", parameters, changes or {}, optimizer)


KERAS_TUNER = (
    # Sound ------------------------------------------------------------------------------------
    _keras_tuner(
        "keras.io guides/keras_tuner/getting_started",
        (Int("units", 32, 512, step=32), "units"),
        (Choice("activation", ("relu", "tanh")), ""),
        (Float("lr", 1e-4, 1e-2, log=True), "learning_rate"),
    ),
    _keras_tuner(
        "tensorflow/docs site/en/tutorials/keras/keras_tuner.ipynb",
        (Int("units", 32, 512, step=32), "units"),
        (Choice("learning_rate", (1e-2, 1e-3, 1e-4)), "learning_rate"),
    ),
    _keras_tuner(
        _TUNER + "README.md",
        (Choice("units", (8, 16, 32)), "units"),
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/applications/efficientnet.py",
        (Float("top_dropout_rate", 0.2, 0.8, step=0.2), "dropout"),
        (Choice("learning_rate", (0.1, 0.01, 0.001), default=0.01), "learning_rate"),
        optimizer="sgd",
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/applications/xception.py",
        (Int("sep_num_filters", 128, 768, step=128, default=256), "units"),
        (Float("dropout_rate", 0.0, 0.6, step=0.1, default=0.5), "dropout"),
        (Choice("learning_rate", (1e-3, 1e-4, 1e-5)), "learning_rate"),
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/applications/resnet.py",
        (Choice("optimizer", ("adam", "rmsprop", "sgd")), "optimizer"),
        (Choice("learning_rate", (0.1, 0.01, 0.001), default=0.01), "learning_rate"),
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/applications/augment.py",
        (Float("factor_rotate", 0.0, 0.5, step=0.05), ""),
        (Int("augment_layers", 0, 4), ""),
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/integration_tests/end_to_end_test.py",
        (Int("units_0", 128, 512, step=32, default=256), "units"),
        (Float("dp", 0.0, 0.6, step=0.1, default=0.5), "dropout"),
        (Choice("learning_rate", (1e-3, 1e-4, 5e-5)), "learning_rate"),
    ),
    _keras_tuner(
        _TUNER + "keras_tuner/engine/tuner.py, docstring",
        (Float("x", -2.0, 2.0), ""),
    ),
    _keras_tuner(
        "keras-tuner issue 315",
        (Int("input_units", 32, 512, step=32), "units"),
        (Float("dropout", 0.0, 0.9, step=0.01, default=0.5), "dropout"),
    ),
    _keras_tuner(
        "keras-tuner issue 345",
        (Float("dropout_3", 0.0, 0.5, step=0.05, default=0.2), "dropout"),
        (Float("learning_rate", 1e-5, 1e-2, log=True, default=1e-3), "learning_rate"),
    ),
    _keras_tuner(
        "keras-tuner issue 1032",
        (Int("lstm_units_0", 32, 128, step=32), "units"),
        (Float("learning_rate", 1e-5, 1e-2, log=True), "learning_rate"),
    ),
    _keras_tuner(
        "keras-tuner issue 61",
        (Float("bias", 0.0, 2.0, step=0.5), ""),
        optimizer="sgd",
    ),
    _keras_tuner(
        "autokeras autokeras/graph.py and blocks/heads.py",
        (Choice("learning_rate", (1e-1, 1e-2, 1e-3, 1e-4, 2e-5, 1e-5), 1e-3), "learning_rate"),
        (Choice("dropout", (0.0, 0.25, 0.5), default=0.0), "dropout"),
        (Choice("translation_factor", (0.0, 0.1)), ""),
    ),
    _keras_tuner(
        "ageron/handson-ml3 10_neural_nets_with_keras.ipynb",
        (Int("n_hidden", 0, 8, default=2), ""),
        (Int("n_neurons", 16, 256), "units"),
        (Float("learning_rate", 1e-4, 1e-2, log=True), "learning_rate"),
        (Choice("optimizer", ("sgd", "adam")), "optimizer"),
    ),
    _keras_tuner(
        "GabrielAppleby/iproject experiments/models/tuning.py",
        (Float("dropout", 0.0, 0.5, step=0.25), "dropout"),
        (Int("units_0", 4, 32, step=4), "units"),
    ),
    _keras_tuner(
        "github: hp.Float('learning_rate', min_value=0.01, max_value=0.09, step=0.01)",
        (Float("learning_rate", 0.01, 0.09, step=0.01), "learning_rate"),
        (Float("momentum", 0.1, 0.9, step=0.1), "momentum"),
        optimizer="sgd",
    ),
    _keras_tuner(
        "github: hp.Float('learning_rate', min_value=1e-6, max_value=1e-2, step=1e-6)",
        (Float("learning_rate", 1e-6, 1e-2, step=1e-6), "learning_rate"),
        (Float("beta_1", 0.8, 0.999, step=0.001), "beta_1"),
        (Float("beta_2", 0.99, 0.9999, step=0.0001), "beta_2"),
        (Float("clipnorm", 0.0, 2.0, step=0.1), "clipnorm"),
    ),
    _keras_tuner(
        "github: epsilon=hp.Float('epsilon', min_value=1e-8, max_value=1e-6)",
        (Float("epsilon", 1e-8, 1e-6), "epsilon"),
        (Float("beta_1", 0.85, 0.95), "beta_1"),
    ),
    _keras_tuner(
        "github: hp.Float('weight_decay', min_value=0.0, max_value=0.0005, step=0.0001)",
        (Float("weight_decay", 0.0, 5e-4, step=1e-4), "weight_decay"),
        (Float("learning_rate", 1e-6, 7e-5, step=1e-6), "learning_rate"),
        optimizer="adamw",
    ),
    _keras_tuner(
        "github: hp.Choice('learning_rate', values=[1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])",
        (Choice("learning_rate", (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)), "learning_rate"),
    ),
    _keras_tuner(
        "github: lr = hp.Choice('learning_rate', values=[1.0, 1e-1, 1e-2])",
        (Choice("learning_rate", (1.0, 1e-1, 1e-2)), "learning_rate"),
        optimizer="sgd",
    ),
    _keras_tuner(
        "github: l2 = hp.Choice('l2_reg', [0.0, 0.001, 0.01])",
        (Choice("l2_reg", (0.0, 0.001, 0.01)), "l2"),
        (Choice("dropout", (0.0, 0.2, 0.3, 0.5)), "dropout"),
    ),
    _keras_tuner(
        "github: l2=hp.Float('l2', min_value=1e-6, max_value=1e-1, step=2, sampling='log')",
        (Float("l2", 1e-6, 1e-1, log=True, step=2.0), "l2"),
    ),
    _keras_tuner(
        "github: Dropout(hp.Int('dropout', min_value=1, max_value=5, step=1)/10)",
        (Int("dropout", 1, 5, step=1), "dropout/10"),
    ),
    _keras_tuner(
        "github: if hp_units != 0: after hp.Int('units', min_value=0, max_value=32, step=8)",
        (Int("units", 0, 32, step=8), "units or none"),
    ),
    _keras_tuner(
        "github: learning_rate=hp.Float('learning_rate', min_value=0.0007, max_value=0.003)",
        (Float("learning_rate", 7e-4, 3e-3), "learning_rate"),
        (Float("learning_rate_decay", 0.9, 0.999999), ""),
    ),
    _keras_tuner(
        "github: lr = hp.Float('lr', min_value=0.01, max_value=0.1, step=3, sampling='log')",
        (Float("lr", 0.01, 0.1, log=True, step=3.0), "learning_rate"),
        (Choice("optimizer", ("rmsprop", "adam")), "optimizer"),
    ),
    # Changed ----------------------------------------------------------------------------------
    _keras_tuner(
        _TUNER + "keras_tuner/engine/tuner_test.py",
        (Float("learning_rate", 1e-5, 1e-2), "learning_rate"),
        changes={"learning_rate": "Float(1e-05, 0.01, log)"},
    ),
    _keras_tuner(
        "keras.io api/keras_tuner/hyperparameters, example of Float, in an Adam",
        (Float("learning_rate", 1e-3, 10.0, log=True, step=10.0), "learning_rate"),
        changes={"learning_rate": "Float(0.001, 1.0, log, step=10.0)"},
    ),
    _keras_tuner(
        "github: optimizers.Adam(hp.Float('lr', 0.00001, 0.1, default=0.001))",
        (Float("lr", 1e-5, 0.1, default=1e-3), "learning_rate"),
        (Float("label_smoothing", 0.0, 0.1), ""),
        changes={"lr": "Float(1e-05, 0.1, log)"},
    ),
    _keras_tuner(
        "github: optimizers.SGD(hp.Float('lr', 0, 0.1, step=0.001, default=0.01)",
        (Float("lr", 0.0, 0.1, step=0.001, default=0.01), "learning_rate"),
        (Float("momentum", 0.0, 0.5, step=0.01, default=0.1), "momentum"),
        optimizer="sgd",
        changes={"lr": "Float(0.001, 0.1, step=0.001)"},
    ),
    _keras_tuner(
        "github: Adam(lr=hp.Float('learning_rate', 0.00001, 0.05, default=0.005)",
        (Float("learning_rate", 1e-5, 0.05, default=0.005), "learning_rate"),
        changes={"learning_rate": "Float(1e-05, 0.05, log)"},
    ),
    _keras_tuner(
        "github: learning_rate=hp.Float('learning_rate', min_value=0.00001, max_value=0.01)",
        (Float("learning_rate", 1e-5, 0.01), "learning_rate"),
        (Float("weight_decay", 0.001, 0.1), "weight_decay"),
        optimizer="adamw",
        changes={"learning_rate": "Float(1e-05, 0.01, log)"},
    ),
    _keras_tuner(
        "github: hp.Float('learning_rate',min_value=1e-3,max_value=1) with hp.Float('epsilon'",
        (Float("learning_rate", 1e-3, 1.0), "learning_rate"),
        (Float("epsilon", 1e-8, 1e-5), "epsilon"),
        changes={
            "learning_rate": "Float(0.001, 1.0, log)",
            "epsilon": "Float(1e-08, 1e-05, log)",
        },
    ),
    _keras_tuner(
        "github: momentum = hp.Float('momentum', min_value=0.0, max_value=1.0, default=0.0)",
        (Float("momentum", 0.0, 1.0, default=0.0), "momentum"),
        (Float("lr", 1e-4, 1e-2, log=True), "learning_rate"),
        optimizer="rmsprop",
        changes={"momentum": "Float(0.0, 0.999)"},
    ),
    _keras_tuner(
        "github: momentum = hp.Float('momentum', 0.9, 1.0) with hp.Float('fc_dropout', 0.3, 1.0)",
        (Float("momentum", 0.9, 1.0), "momentum"),
        (Float("fc_dropout", 0.3, 1.0), "dropout"),
        (Float("lr", 1e-5, 1e-1, log=True), "learning_rate"),
        optimizer="sgd",
        changes={"momentum": "Float(0.9, 0.999)", "fc_dropout": "Float(0.3, 0.9)"},
    ),
    _keras_tuner(
        "github: beta_1 = hp.Float('beta_1', min_value=0.0, max_value=1.0, default=0.9, step=0.1)",
        (Float("beta_1", 0.0, 1.0, step=0.1, default=0.9), "beta_1"),
        changes={"beta_1": "Float(0.0, 0.9, step=0.1)"},
    ),
    _keras_tuner(
        "github: beta_1 = hp.Float('beta_1', min_value=0.8, max_value=1.0, step=0.05)",
        (Float("beta_1", 0.8, 1.0, step=0.05), "beta_1"),
        changes={"beta_1": "Float(0.8, 0.95, step=0.05)"},
    ),
    _keras_tuner(
        "github: hp.Choice('learning_rate', values=[10, 1e-2, 1e-3, 1e-4]), as floats",
        (Choice("learning_rate", (10.0, 1e-2, 1e-3, 1e-4)), "learning_rate"),
        changes={"learning_rate": "Choice([0.01, 0.001, 0.0001])"},
    ),
    _keras_tuner(
        "github: units = hp.Int('units', min_value=0, max_value=500, step=10), with a default",
        (Int("units", 0, 500, step=10, default=10), "units"),
        changes={"units": "Int(10, 500, step=10)"},
    ),
    _keras_tuner(
        "github: Dropout(hp.Float('dropout', min_value=0.0, max_value=1.0))",
        (Float("dropout", 0.0, 1.0), "dropout"),
        changes={"dropout": "Float(0.0, 0.9)"},
    ),
)
