"""Published search spaces of Optuna."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.spaces.space import Space
from robusttune._space import Choice, Float, Int, Parameter

_EXAMPLES = "optuna-examples "
_OPTUNA = "optuna "


def _optuna(source: str, *parameters: Parameter, changes: Mapping[str, str] | None = None) -> Space:
    return Space(source, "optuna", tuple((p, "") for p in parameters), changes or {})


OPTUNA = (
    # Sound ------------------------------------------------------------------------------------
    _optuna(
        _EXAMPLES + "keras/keras_simple.py",
        Choice("filters", (32, 64)),
        Choice("kernel_size", (3, 5)),
        Choice("strides", (1, 2)),
        Choice("activation", ("relu", "linear")),
        Float("learning_rate", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        _EXAMPLES + "keras/keras_integration.py",
        Int("n_layers", 1, 3),
        Int("n_units_l0", 4, 128, log=True),
        Float("dropout_l0", 0.2, 0.5),
        Float("learning_rate", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        _EXAMPLES + "tensorflow/tensorflow_eager_simple.py",
        Float("weight_decay", 1e-10, 1e-3, log=True),
        Float("rmsprop_weight_decay", 0.85, 0.99),
        Float("rmsprop_momentum", 1e-5, 1e-1, log=True),
        Float("adam_learning_rate", 1e-5, 1e-1, log=True),
        Float("sgd_opt_momentum", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        _EXAMPLES + "tensorflow/tensorflow_estimator_simple.py",
        Float("adam_lr", 1e-5, 1e-1, log=True),
        Float("sgd_lr", 1e-5, 1e-1, log=True),
        Float("sgd_momentum", 1e-5, 1e-1, log=True),
        Int("n_units_l0", 1, 128),
    ),
    _optuna(
        _EXAMPLES + "pytorch/pytorch_simple.py",
        Int("n_units_l0", 4, 128),
        Float("dropout_l0", 0.2, 0.5),
        Choice("optimizer", ("Adam", "RMSprop", "SGD")),
        Float("lr", 1e-5, 1e-1, log=True),
    ),
    _optuna(
        _EXAMPLES + "rl/sb3_simple.py",
        Float("gamma", 0.0001, 0.1, log=True),
        Float("max_grad_norm", 0.3, 5.0, log=True),
        Int("exponent_n_steps", 3, 10),
        Float("lr", 1e-5, 1.0, log=True),
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
        Float("learning_rate", 1e-6, 1e-4, log=True),
        Float("weight_decay", 1e-10, 0.3, log=True),
    ),
    _optuna(
        _EXAMPLES + "dashboard/preferential-optimization-picture/generator.py",
        Float("contrast_factor", 0.0, 2.0),
        Float("brightness_factor", 0.0, 2.0),
        Float("sharpness_factor", 0.0, 2.0),
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
    # Changed ----------------------------------------------------------------------------------
    _optuna(
        _EXAMPLES + "multi_objective/pytorch_simple.py",
        Float("lr", 1e-5, 1e-1),
        Float("dropout_l0", 0.2, 0.5),
        changes={"lr": "Float(1e-05, 0.1, log)"},
    ),
    _optuna(
        _EXAMPLES + "tfkeras/tfkeras_integration.py",
        Float("learning_rate", 1e-4, 1e-1, log=True),
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
        Float("learning_rate", 1e-5, 1e-2, log=True),
        Float("drop_path_rate", 0.0, 1.0, step=0.1),
        changes={"dropout_rate": "Float(0.0, 0.9)"},
    ),
    _optuna(
        _OPTUNA + "optuna/trial/_trial.py, example of suggest_float",
        Float("momentum", 0.0, 1.0),
        Float("learning_rate_init", 1e-5, 1e-3, log=True),
        Float("power_t", 0.2, 0.8, step=0.1),
        changes={"momentum": "Float(0.0, 0.999)"},
    ),
    _optuna(
        "NeuroTechX/moabb pull request 606",
        Float("learning_rate", 1e-4, 1e-2, log=True),
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
        Float("lr", 1e-6, 1.0, log=True),
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
