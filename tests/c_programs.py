"""Networks as C files, compiled into one program with a driver, and run on images."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

_DRIVER = """
#include <stdio.h>
#include <stdlib.h>
{includes}

typedef struct {{ void (*run)(const float *, float *); int inputs, outputs, images; }} Network;
static const Network networks[] = {{ {rows} }};

int main(void)
{{
    for (size_t k = 0; k < sizeof networks / sizeof *networks; k++)
        for (int i = 0; i < networks[k].images; i++) {{
            const size_t inputs = (size_t)networks[k].inputs, outputs = (size_t)networks[k].outputs;
            float *image = malloc(inputs * sizeof *image), *scores = malloc(outputs * sizeof *scores);
            if (fread(image, sizeof *image, inputs, stdin) != inputs)
                return 1;
            networks[k].run(image, scores);
            fwrite(scores, sizeof *scores, outputs, stdout);
            free(image);
            free(scores);
        }}
    return 0;
}}
"""


class Function(nn.Module):
    """Layers, and a function of them and the input."""

    def __init__(self, function, **layers):
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def compiler():
    """The C compiler, or a skip."""
    cc = shutil.which("cc")
    if cc is None:
        pytest.skip("there is no C compiler: cc")
    return cc


def compile_c(folder, sources, output, *flags):
    """Compile files of a folder, without a warning."""
    done = subprocess.run(
        [compiler(), *STRICT, *flags, *sources, "-lm", "-o", output], cwd=folder, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr


def python_scores(model, images):
    """What the network gives in Python for each image."""
    with tg.no_grad():
        return model.eval()(Tensor(images.astype(np.float32))).data.reshape(len(images), -1)


def run_all(folder, images, flags=SANITIZERS):
    """The scores that the networks of a folder give, by name, from one program.

    ``images`` are the arrays (N, ...) for each file NAME.c of the folder, and the number of scores, by NAME.
    """
    rows = ", ".join(f"{{ {n}, {x[0].size}, {outputs}, {len(x)} }}" for n, (x, outputs) in images.items())
    includes = "\n".join(f'#include "{name}.h"' for name in images)
    (folder / "driver.c").write_text(_DRIVER.format(includes=includes, rows=rows))
    compile_c(folder, ["driver.c", *(f"{name}.c" for name in images)], "driver", *flags)
    sent = b"".join(np.ascontiguousarray(x, np.float32).tobytes() for x, _ in images.values())
    done = subprocess.run([folder / "driver"], input=sent, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    numbers, scores, start = np.frombuffer(done.stdout, np.float32), {}, 0
    for name, (x, outputs) in images.items():
        scores[name] = numbers[start : start + len(x) * outputs].reshape(len(x), outputs)
        start += len(x) * outputs
    assert start == len(numbers)
    return scores


def functions_of(path: Path):
    """The names of the functions that a C file defines for its network."""
    code = path.read_text().partition("_MAIN\n#include")[0]
    return set(re.findall(r"(?m)^static \w+ (\w+)\(", code))
