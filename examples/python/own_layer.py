"""own_layer.py: a layer written in Python takes the place of a network's activations, and the network is trained."""

import numpy as np

import lamina


class Snake(lamina.Layer):
    """x + sin^2(a x) / a, with an `a` that is learned for each channel (Ziyin et al. 2020)."""

    kind = "com.example.snake"
    attributes = {"start": 1.0}

    def parameters(self, inputs):
        return [lamina.ParameterSpec("a", inputs[0].shape[1:2], initializer="constant", scale=self.start)]

    def forward(self, call):
        [x], a = call.inputs, self.spread(call)
        return x + np.sin(a * x) ** 2 / a

    def backward(self, call):
        [x], [slope], a = call.inputs, call.output_gradients, self.spread(call)
        by_a = slope * (x * np.sin(2 * a * x) / a - (np.sin(a * x) / a) ** 2)
        return slope * (1 + np.sin(2 * a * x)), {"a": by_a.sum((0, *range(2, x.ndim)))}

    @staticmethod
    def spread(call):
        """The parameter along the axis of channels."""
        return call.parameters["a"].reshape(1, -1, *[1] * (call.inputs[0].ndim - 2))


def tell(progress):
    if progress.event == "epoch":
        print(f"epoch {progress.epoch}: loss {progress.loss:.3f}")


def main():
    context = lamina.Context(layers=[Snake])
    graph = lamina.create("lenet5").graph
    for node in graph["nodes"]:
        if node["kind"] in ("lamina.relu", "lamina.tanh", "lamina.scaled_tanh"):
            node["kind"], node["attributes"] = Snake.kind, {"start": 0.5}
    model = lamina.from_graph(graph, seed=1, context=context)

    shape = (128, *model.inputs[0].shape[1:])
    classes = np.arange(128) % 10
    items = np.random.default_rng(0).standard_normal(shape, np.float32) + classes.reshape(-1, 1, 1, 1) / 5
    trainer = lamina.Trainer(model, lamina.Dataset.from_arrays(items, classes), epochs=3, learning_rate=1e-3)
    trainer.fit(tell)
    for layer in trainer.model.layers:
        if layer.kind == Snake.kind:
            print(f"{layer.name}: a = {np.round(layer.parameters['a'], 3)[:4]}")


if __name__ == "__main__":
    main()
