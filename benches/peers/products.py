"""Times products of a few rows with matrices in both orders in memory: the table in docs/profile.md.

LD_PRELOAD=…/libopenblas.so.0 .tools/peers/venv/bin/python benches/peers/products.py
"""

import time

import mlx.core as mx

OUTPUTS, INPUTS, MATRICES, TURNS = 3072, 576, 8, 15


def best(product, x, matrices):
    times = []
    for _ in range(TURNS):
        began = time.perf_counter()
        mx.eval([product(x, matrix) for matrix in matrices])
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


as_stored = [mx.random.normal((OUTPUTS, INPUTS)) for _ in range(MATRICES)]
transposed = [mx.contiguous(matrix.T) for matrix in as_stored]
mx.eval(as_stored, transposed)
print("rows, as in the checkpoint (ms), transposed (ms)")
for rows in (1, 2, 3, 4, 8, 12, 16, 20, 24, 32, 48):
    x = mx.random.normal((rows, INPUTS))
    mx.eval(x)
    stored = best(lambda x, matrix: x @ matrix.T, x, as_stored)
    print(f"{rows:4} {stored:6.2f} {best(lambda x, matrix: x @ matrix, x, transposed):6.2f}")
