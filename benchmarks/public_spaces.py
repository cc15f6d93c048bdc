"""Search spaces as people write them: ranges re-created from public examples, tutorials and issues.

Each has its source: a project and the path of the file in it, an issue or page, or "github:" and a
line that GitHub's code search finds. What is expected is written beside it: a space without
`changes` is sound and must come out untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from robusttune.space import Choice, Float, Int, Parameter


@dataclass(frozen=True)
class Space:
    """One search space.

    Args:
        source: Where it comes from.
        host: "keras_tuner", whose build function makes a real model, or "optuna".
        parameters: Each with what it does in the model: an argument of the optimizer, "optimizer",
            "dropout", "units", "l2"; "" where a model does not show it.
        changes: What each changed parameter becomes, as text.
        optimizer: Which one the model has, where no parameter says so.
    """

    source: str
    host: str
    parameters: tuple[tuple[Parameter, str], ...]
    changes: Mapping[str, str] = field(default_factory=dict)
    optimizer: str = "adam"


def _keras_tuner(
    source: str,
    *parameters: tuple[Parameter, str],
    optimizer: str = "adam",
    changes: Mapping[str, str] | None = None,
) -> Space:
    return Space(source, "keras_tuner", parameters, changes or {}, optimizer)


def _optuna(source: str, *parameters: Parameter, changes: Mapping[str, str] | None = None) -> Space:
    return Space(source, "optuna", tuple((p, "") for p in parameters), changes or {})


def _lr(low: float, high: float, *, log: bool = True, name: str = "lr", **more: float) -> Float:
    return Float(name, low, high, log, **more)


def _layers(names: Iterable[str], low: float, high: float) -> list[Float]:
    return [Float(name, low, high) for name in names]


_EXAMPLES = "optuna-examples "
_OPTUNA = "optuna "
_TUNER = "keras-tuner "

SPACES = (
    # Keras Tuner, sound ------------------------------------------------------------------------
    _keras_tuner(
        "keras.io guides/keras_tuner/getting_started",
        (Int("units", 32, 512, step=32), "units"),
        (Choice("activation", ("relu", "tanh")), ""),
        (_lr(1e-4, 1e-2), "learning_rate"),
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
        (_lr(1e-5, 1e-2, name="learning_rate", default=1e-3), "learning_rate"),
    ),
    _keras_tuner(
        "keras-tuner issue 1032",
        (Int("lstm_units_0", 32, 128, step=32), "units"),
        (_lr(1e-5, 1e-2, name="learning_rate"), "learning_rate"),
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
        (_lr(1e-4, 1e-2, name="learning_rate"), "learning_rate"),
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
    # Keras Tuner, changed ----------------------------------------------------------------------
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
    # Optuna, sound -----------------------------------------------------------------------------
    _optuna(
        _EXAMPLES + "keras/keras_simple.py",
        Choice("filters", (32, 64)),
        Choice("kernel_size", (3, 5)),
        Choice("strides", (1, 2)),
        Choice("activation", ("relu", "linear")),
        _lr(1e-5, 1e-1, name="learning_rate"),
    ),
    _optuna(
        _EXAMPLES + "keras/keras_integration.py",
        Int("n_layers", 1, 3),
        Int("n_units_l0", 4, 128, log=True),
        Float("dropout_l0", 0.2, 0.5),
        _lr(1e-5, 1e-1, name="learning_rate"),
    ),
    _optuna(
        _EXAMPLES + "tensorflow/tensorflow_eager_simple.py",
        Float("weight_decay", 1e-10, 1e-3, log=True),
        Float("rmsprop_weight_decay", 0.85, 0.99),
        Float("rmsprop_momentum", 1e-5, 1e-1, log=True),
        _lr(1e-5, 1e-1, name="adam_learning_rate"),
        Float("sgd_opt_momentum", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        _EXAMPLES + "tensorflow/tensorflow_estimator_simple.py",
        _lr(1e-5, 1e-1, name="adam_lr"),
        _lr(1e-5, 1e-1, name="sgd_lr"),
        Float("sgd_momentum", 1e-5, 1e-1, log=True),
        Int("n_units_l0", 1, 128),
    ),
    _optuna(
        _EXAMPLES + "pytorch/pytorch_simple.py",
        Int("n_units_l0", 4, 128),
        Float("dropout_l0", 0.2, 0.5),
        Choice("optimizer", ("Adam", "RMSprop", "SGD")),
        _lr(1e-5, 1e-1),
    ),
    _optuna(
        _EXAMPLES + "rl/sb3_simple.py",
        Float("gamma", 0.0001, 0.1, log=True),
        Float("max_grad_norm", 0.3, 5.0, log=True),
        Int("exponent_n_steps", 3, 10),
        _lr(1e-5, 1.0),
        Float("ent_coef", 1e-8, 0.1, log=True),
    ),
    _optuna(
        _EXAMPLES + "lightgbm/lightgbm_simple.py",
        Float("lambda_l1", 1e-8, 10.0, log=True),
        Float("lambda_l2", 1e-8, 10.0, log=True),
        Int("num_leaves", 2, 256),
        Float("feature_fraction", 0.4, 1.0),
        Int("bagging_freq", 1, 7),
    ),
    _optuna(
        _EXAMPLES + "catboost/catboost_simple.py",
        Float("colsample_bylevel", 0.01, 0.1),
        Float("bagging_temperature", 0.0, 10.0),
        Float("subsample", 0.1, 1.0),
    ),
    _optuna(
        _EXAMPLES + "sklearn/sklearn_simple.py",
        Choice("classifier", ("SVC", "RandomForest")),
        Float("svc_c", 1e-10, 1e10, log=True),
        Int("rf_max_depth", 2, 32, log=True),
    ),
    _optuna(_EXAMPLES + "basic/quadratic.py", Float("x", -100.0, 100.0), Choice("y", (-1, 0, 1))),
    _optuna(_EXAMPLES + "openml/openml_simple.py", Float("min_samples_leaf", 0.0, 1.0)),
    _optuna(
        _EXAMPLES + "tensorboard/tensorboard_simple.py",
        Int("NUM_UNITS", 16, 32),
        Float("DROPOUT_RATE", 0.1, 0.2),
        Choice("OPTIMIZER", ("sgd", "adam")),
    ),
    _optuna(
        _EXAMPLES + "transformers/transformers_simple.py",
        _lr(1e-6, 1e-4, name="learning_rate"),
        Float("weight_decay", 1e-10, 0.3, log=True),
    ),
    _optuna(
        _EXAMPLES + "dashboard/preferential-optimization-picture/generator.py",
        *_layers(("contrast_factor", "brightness_factor", "sharpness_factor"), 0.0, 2.0),
    ),
    _optuna(
        _OPTUNA + "tutorial/20_recipes/014_ablation_study_by_optuna.py",
        Float("lr", 0.001, 0.01, step=0.001),
        Choice("lr_schedule", ("constant", "cosine")),
    ),
    _optuna(
        _OPTUNA + "tutorial/20_recipes/014_ablation_study_by_optuna.py, as exponents",
        Float("lr_exponent", -6.0, -3.0, step=0.5),
    ),
    _optuna(
        _OPTUNA + "tutorial/10_key_features/003_efficient_optimization_algorithms.py",
        Float("alpha", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        "github: lr = trial.suggest_int('lr', -5, -2), as an exponent",
        Int("lr", -5, -2),
        Int("weight_decay", -7, -4),
    ),
    _optuna("github: lr = 10 ** (-trial.suggest_int('lr', 1, 5))", Int("lr", 1, 5)),
    _optuna(
        "github: lr = 10**trial.suggest_float('log_lr', -5, 1)",
        Float("log_lr", -5.0, 1.0),
    ),
    _optuna(
        "github: dropout = trial.suggest_int('dropout', 20, 50, step = 10) / 100",
        Int("dropout", 20, 50, step=10),
        Int("clip_norm", 10, 100, step=10),
    ),
    _optuna("github: dropout = trial.suggest_int('dropout',0,1), a switch", Int("dropout", 0, 1)),
    _optuna(
        "github: lr = trial.suggest_uniform('lr', 0.01, 0.7)",
        Float("lr", 0.01, 0.7),
        Float("dropout", 0.1, 0.5),
        Float("momentum", 0.8, 0.99),
    ),
    _optuna(
        "github: 'adam_epsilon': trial.suggest_float('adam_epsilon', 1e-8, 1e-6)",
        Float("adam_epsilon", 1e-8, 1e-6),
        Float("weight_decay", 0.0, 0.1),
        Float("max_grad_norm", 0.0, 1.0),
    ),
    # Optuna, changed ---------------------------------------------------------------------------
    _optuna(
        _EXAMPLES + "multi_objective/pytorch_simple.py",
        Float("lr", 1e-5, 1e-1),
        Float("dropout_l0", 0.2, 0.5),
        changes={"lr": "Float(1e-05, 0.1, log)"},
    ),
    _optuna(
        _EXAMPLES + "tfkeras/tfkeras_integration.py",
        _lr(1e-4, 1e-1, name="learning_rate"),
        Float("momentum", 0.0, 1.0),
        Choice("units", (32, 64, 128, 256, 512)),
        changes={"momentum": "Float(0.0, 0.999)"},
    ),
    _optuna(
        _EXAMPLES + "pytorch/pytorch_ignite_simple.py",
        Float("dropout_rate", 0.0, 1.0),
        Int("fc2_input_dim", 40, 80),
        changes={"dropout_rate": "Float(0.0, 0.9)"},
    ),
    _optuna(
        _OPTUNA + "tutorial/10_key_features/002_configurations.py",
        Int("num_units", 10, 100, step=5),
        Float("dropout_rate", 0.0, 1.0),
        _lr(1e-5, 1e-2, name="learning_rate"),
        Float("drop_path_rate", 0.0, 1.0, step=0.1),
        changes={"dropout_rate": "Float(0.0, 0.9)"},
    ),
    _optuna(
        _OPTUNA + "optuna/trial/_trial.py, example of suggest_float",
        Float("momentum", 0.0, 1.0),
        _lr(1e-5, 1e-3, name="learning_rate_init"),
        Float("power_t", 0.2, 0.8, step=0.1),
        changes={"momentum": "Float(0.0, 0.999)"},
    ),
    _optuna(
        "NeuroTechX/moabb pull request 606",
        _lr(1e-4, 1e-2, name="learning_rate"),
        Float("weight_decay", 1e-10, 1e-3, log=True),
        Float("drop_rate", 0.0, 1.0),
        changes={"drop_rate": "Float(0.0, 0.9)"},
    ),
    _optuna(
        "github: args.lr = trial.suggest_uniform('lr', 0, 1)",
        Float("lr", 0.0, 1.0),
        Float("weight_decay", 0.0, 1.0),
        Float("dropout", 0.0, 1.0),
        changes={"lr": "Float(1e-05, 1.0, log)", "dropout": "Float(0.0, 0.9)"},
    ),
    _optuna(
        "github: lr = trial.suggest_float('lr', 0.0000001, 0.1)",
        Float("lr", 1e-7, 0.1),
        Float("dropout", 0.2, 0.9),
        changes={"lr": "Float(1e-07, 0.1, log)"},
    ),
    _optuna(
        "github: args.lr = trial.suggest_float('lr', 0.0001, 0.1)",
        Float("lr", 1e-4, 0.1),
        changes={"lr": "Float(0.0001, 0.1, log)"},
    ),
    _optuna(
        "github: weight_decay = trial.suggest_float('weight_decay', 0.000001, 0.001)",
        Float("lr", 1e-5, 1e-2),
        Float("weight_decay", 1e-6, 1e-3),
        changes={
            "lr": "Float(1e-05, 0.01, log)",
            "weight_decay": "Float(1e-06, 0.001, log)",
        },
    ),
    _optuna(
        "github: lr = trial.suggest_float('lr', 1e-6, 1, log=True) with momentum from 0.0 to 1.0",
        _lr(1e-6, 1.0),
        Float("momentum", 0.0, 1.0),
        changes={"momentum": "Float(0.0, 0.999)"},
    ),
    _optuna(
        "github: dropout = trial.suggest_float('dropout', 0.0, 1.0, step=0.1)",
        Float("dropout", 0.0, 1.0, step=0.1),
        Choice("lr", (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)),
        changes={"dropout": "Float(0.0, 0.9, step=0.1)"},
    ),
    _optuna(
        "github: fc_dropout = trial.suggest_float('fc_dropout', 0.0, 1, step=0.05)",
        Float("dropout", 0.0, 1.0, step=0.05),
        Float("fc_dropout", 0.0, 1.0, step=0.05),
        changes={
            "dropout": "Float(0.0, 0.9, step=0.05)",
            "fc_dropout": "Float(0.0, 0.9, step=0.05)",
        },
    ),
)
