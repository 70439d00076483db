"""Small Keras classifiers, and their ONNX files as ``model.export`` writes them: a corpus for `from_onnx`.

``python tests/keras_nets.py FOLDER`` writes NAME.onnx, each with its input and Keras' output in an ``.npz`` of the same
name. Keras runs on PyTorch here (``KERAS_BACKEND=torch``): on TensorFlow it would export through tf2onnx.
"""

import os
import pathlib
import sys

import numpy as np
import onnx

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from keras import layers as L

GREY = (12, 12, 1)


def nets() -> dict[str, keras.Model]:
    """Return every net by name."""
    conv, dense = L.Conv2D, L.Dense

    def chain(*parts: keras.Layer, shape: tuple[int, ...] = GREY) -> keras.Model:
        return keras.Sequential([keras.Input(shape), *parts])

    def head(units: int = 10) -> list[keras.Layer]:
        return [L.Flatten(), dense(units, activation="softmax")]

    def residual() -> keras.Model:
        x = start = keras.Input(GREY)
        x = conv(6, 3, padding="same", activation="relu")(x)
        y = L.BatchNormalization()(conv(6, 3, padding="same")(x))
        x = L.ReLU()(L.Add()([x, y]))
        x = L.Concatenate()([x, conv(2, 1)(x)])
        return keras.Model(start, dense(10)(L.GlobalAveragePooling2D()(x)))

    def excite() -> keras.Model:
        start = keras.Input(GREY)
        x = conv(8, 3, strides=2, padding="same", activation="relu")(start)
        s = dense(8, activation="sigmoid")(dense(4, activation="relu")(L.GlobalAveragePooling2D()(x)))
        x = L.Multiply()([x, L.Reshape((1, 1, 8))(s)])
        return keras.Model(start, dense(10)(L.GlobalMaxPooling2D()(x)))

    def two_heads() -> keras.Model:
        start = keras.Input(GREY)
        a = L.Flatten()(conv(4, 5, strides=3, activation="relu")(start))
        b = L.Flatten()(L.MaxPooling2D(5)(start))
        return keras.Model(start, dense(10)(L.Concatenate()([a, b])))

    return {
        "mlp": chain(L.Flatten(), dense(32, activation="relu"), dense(10, activation="softmax")),
        "mlp-sigmoid": chain(L.Flatten(), dense(20, activation="sigmoid"), dense(10)),
        "mlp-batchnorm": chain(L.Flatten(), dense(20), L.BatchNormalization(), L.ReLU(), *head()),
        "mnist-convnet": chain(conv(8, 3, activation="relu"), L.MaxPooling2D(), conv(8, 3, activation="relu"),
                               L.MaxPooling2D(), L.Flatten(), L.Dropout(0.5), dense(10, activation="softmax")),
        "lenet": chain(conv(6, 5, padding="same", activation="tanh"), L.AveragePooling2D(2),
                       conv(16, 5, activation="tanh"), L.AveragePooling2D(2), L.Flatten(),
                       dense(40, activation="tanh"), dense(10)),
        "same-stride": chain(conv(4, 3, strides=2, padding="same", activation="relu"), *head()),
        "same-even": chain(conv(4, 4, strides=3, padding="same", activation="relu"), *head()),
        "dilation": chain(conv(4, 3, dilation_rate=2, activation="relu"), L.MaxPooling2D(4), *head()),
        "maxpool-same": chain(conv(4, 3), L.MaxPooling2D(3, 2, padding="same"), *head()),
        "avgpool-same": chain(conv(4, 3), L.AveragePooling2D(3, 2, padding="same"), *head()),
        "depthwise": chain(conv(4, 3), L.DepthwiseConv2D(3, strides=2, padding="same"), L.ReLU(6.0), *head()),
        "separable": chain(L.SeparableConv2D(6, 3, activation="relu"), L.MaxPooling2D(3), *head()),
        "groups": chain(conv(4, 3), conv(8, 3, groups=4, strides=2), *head()),
        "batchnorm": chain(conv(6, 3, use_bias=False), L.BatchNormalization(), L.Activation("relu"),
                           L.MaxPooling2D(4), *head()),
        "global-average": chain(conv(8, 3, strides=2, activation="relu"), L.GlobalAveragePooling2D(), dense(10)),
        "global-max": chain(conv(8, 3, strides=2, activation="relu"), L.GlobalMaxPooling2D(keepdims=True), *head()),
        "zeropad": chain(L.ZeroPadding2D(((1, 2), (3, 4))), conv(4, 5, strides=3), *head()),
        "cropping": chain(L.Cropping2D(((1, 2), (3, 4))), conv(4, 5, strides=3), *head()),
        "leaky": chain(conv(4, 5, strides=3), L.LeakyReLU(0.1), *head()),
        "prelu": chain(conv(4, 5, strides=3), L.PReLU(shared_axes=[1, 2]), *head()),
        "elu-selu": chain(conv(4, 5, strides=3, activation="elu"), L.Flatten(),
                          dense(20, activation="selu"), dense(10)),
        "swish-gelu": chain(conv(4, 5, strides=3, activation="swish"), L.Flatten(),
                            dense(20, activation="gelu"), dense(10)),
        "hard-sigmoid": chain(conv(4, 5, strides=3, activation="hard_sigmoid"), L.Flatten(),
                              dense(10, activation="softplus")),
        "softsign-exponential": chain(L.Flatten(), dense(20, activation="softsign"),
                                      dense(10, activation="exponential")),
        "mish": chain(L.Flatten(), dense(20, activation="mish"), dense(10, activation="log_softmax")),
        "layernorm": chain(L.Flatten(), dense(20), L.LayerNormalization(), L.ReLU(), dense(10)),
        "groupnorm": chain(conv(6, 5, strides=3), L.GroupNormalization(3), L.ReLU(), *head()),
        "unitnorm": chain(L.Flatten(), dense(20), L.UnitNormalization(), dense(10)),
        "rescaling": chain(L.Rescaling(1 / 255.0, -0.5), conv(4, 5, strides=3, activation="relu"), *head()),
        "normalization": chain(L.Normalization(mean=0.13, variance=0.09), L.Flatten(), dense(10)),
        "upsampling": chain(conv(4, 5, strides=4), L.UpSampling2D(2), conv(4, 3), *head()),
        "upsampling-bilinear": chain(conv(4, 5, strides=4), L.UpSampling2D(2, interpolation="bilinear"), *head()),
        "transposed": chain(conv(4, 5, strides=4), L.Conv2DTranspose(3, 3, strides=2, padding="same"), *head()),
        "noise": chain(L.GaussianNoise(0.1), conv(4, 5, strides=3), L.SpatialDropout2D(0.2), L.ReLU(), *head()),
        "reshape": chain(L.Reshape((144,)), dense(16, activation="relu"), L.Reshape((4, 4, 1)), conv(2, 3), *head()),
        "permute": chain(L.Permute((2, 1, 3)), conv(4, 5, strides=3), *head()),
        "residual": residual(),
        "squeeze-excite": excite(),
        "two-heads": two_heads(),
        "colour": chain(conv(8, 3, padding="same", activation="relu"), L.MaxPooling2D(), conv(8, 3, activation="relu"),
                        L.MaxPooling2D(), L.Flatten(), dense(43, activation="softmax"), shape=(16, 16, 3)),
        "one-dimensional": chain(L.Conv1D(4, 5, strides=2, padding="same", activation="relu"), L.MaxPooling1D(2),
                                 *head(), shape=(64, 1)),
        "lstm": chain(L.Reshape((12, 12)), L.LSTM(8), dense(10)),
        "gru": chain(L.Reshape((12, 12)), L.GRU(8), dense(10)),
        "attention": chain(L.Reshape((12, 12)), dense(8), L.Lambda(lambda x: x / 2.0), L.Flatten(), dense(10)),
    }  # fmt: skip


def new_weights(path: str, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return random weights of the shape of ``w``; variances are positive."""
    if w.ndim == 0 or "seed" in path:
        return w
    return np.abs(rng.normal(0.3, 0.2, w.shape)) if "var" in path else rng.normal(0, w[..., 0].size ** -0.5, w.shape)


def slim(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without what its nodes do not need: shapes, and texts about the program that wrote it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    return model


def write(folder: pathlib.Path) -> None:
    """Write all files, and say which could not be written and why."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, net in nets().items():
        path = folder / f"{name}.onnx"
        if path.with_suffix(".npz").exists():
            continue
        net.set_weights([new_weights(v.path, w, rng) for v, w in zip(net.weights, net.get_weights(), strict=True)])
        x = rng.random((3, *net.input_shape[1:]), np.float32)
        try:
            net.predict(x, verbose=0)
            net.export(path, format="onnx", verbose=False)
        except Exception as error:
            print(f"{name}: Keras cannot write it: {str(error).splitlines()[0][:150]}", flush=True)
            path.unlink(missing_ok=True)
            continue
        onnx.save(slim(onnx.load(path)), path)
        np.savez(path.with_suffix(".npz"), input=x, output=np.asarray(net(x, training=False).detach()))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
