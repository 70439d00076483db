"""Several ONNX nodes as the one that they are: batch normalisation, and a transposed convolution with its bias."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..checks import require


class Fusion:
    """A list of ONNX nodes in which groups are replaced by one node each.

    Args:
        nodes: the nodes, in order.
        outputs: the names of the graph's results.
    """

    def __init__(self, nodes: list[Any], outputs: list[str]) -> None:
        self.onnx: Any = require("onnx", "onnx")
        self.nodes = nodes
        self._outputs = outputs
        self._index()

    def run(self) -> list[Any]:
        """Return the nodes that remain."""
        for node in list(self.nodes):
            fused = self._batch_norm(node) or self._transposed_bias(node)
            if fused is not None:
                self.nodes[self.nodes.index(node)] = fused
                self._drop_unused()
        return self.nodes

    def _index(self) -> None:
        self._makers = {name: node for node in self.nodes for name in node.output}
        self._uses = Counter(name for node in self.nodes for name in node.input)
        self._uses.update(self._outputs)

    def _drop_unused(self) -> None:
        while True:
            self._index()
            rest = [node for node in self.nodes if any(self._uses[name] for name in node.output)]
            if len(rest) == len(self.nodes):
                return
            self.nodes = rest

    def _maker(self, name: str, op: str, uses: int = 1) -> Any | None:
        """Return the node that makes a value, if it is of an operator and nothing else needs the value."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type == op and self._uses[name] == uses else None

    def _constant(self, name: str) -> Any | None:
        """Return the array of a Constant node."""
        node = self._makers.get(name)
        if node is None or node.op_type != "Constant":
            return None
        return self.onnx.numpy_helper.to_array(node.attribute[0].t)

    def _inputs(self, name: str, op: str, uses: int = 1) -> list[str] | None:
        node = self._maker(name, op, uses)
        return None if node is None else list(node.input)

    def _batch_norm(self, add: Any) -> Any | None:
        """``x scale + shift``, scale = w / sqrt(var + eps) and shift = b - mean scale, as `batch_norm` computes it."""
        if add.op_type != "Add":
            return None
        steps = _steps(self._inputs)
        scaled = steps(add.input[0], "Mul")
        scale = steps(scaled[1], "Reshape")[0]
        shift = steps(steps(add.input[1], "Reshape")[0], "Sub")
        product = steps(shift[1], "Mul")
        weight = steps(scale, "Div", 2)
        variance = steps(steps(weight[1], "Sqrt")[0], "Add")
        eps = self._constant(variance[1])
        if product[1] != scale or not scale or eps is None or eps.size != 1:
            return None
        inputs = [scaled[0], weight[0], shift[0], product[0], variance[0]]
        return self.onnx.helper.make_node(
            "BatchNormalization", inputs, list(add.output), name=add.name, epsilon=float(eps), momentum=0.9
        )

    def _transposed_bias(self, add: Any) -> Any | None:
        """A transposed convolution, plus its bias with axes of length 1."""
        if add.op_type != "Add":
            return None
        node, bias = self._maker(add.input[0], "ConvTranspose"), self._inputs(add.input[1], "Reshape")
        if node is None or bias is None or len(node.input) != 2:
            return None
        target = self._constant(bias[1])
        if target is None or target.tolist()[1:] != [1, 1] or bias[0] in self._makers:
            return None
        fused = self.onnx.NodeProto()
        fused.CopyFrom(node)
        fused.input.append(bias[0])
        fused.name = add.name
        del fused.output[:]
        fused.output.extend(add.output)
        return fused


def _steps(inputs: Callable[..., list[str] | None]) -> Callable[..., list[str]]:
    """Return a function that gives the inputs of the node that makes a value, or empty names for another operator."""
    return lambda name, op, uses=1: inputs(name, op, uses) or ["", ""]
