// The layered pixel network on a CPU: its logits, and their gradients.
//
// A tile of pixels goes through all the layers while its activations stay in the cache; the backward pass computes them
// again instead of keeping them from the forward pass. All the work is in one loop, `multiply`: a block of a matrix
// product that stays in the registers while it is summed, as in BLAS. Pixels lie side by side in the lanes of a vector; a
// panel is an array [unit][VECTORS], and a tile a few panels. Units are filled up to a multiple of ROWS with zeros.
#include "common.h"

#include <memory>

#define NOINLINE __attribute__((noinline))

namespace {

// A block of ROWS * VECTORS sums, VECTORS factors and one more fill the registers: 16, or 32.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 8;
#else
constexpr int ROWS = 4;
#endif
constexpr int VECTORS = 3;
constexpr int64_t PANEL = VECTORS * LANES;  // pixels
constexpr int64_t PANELS = 2;               // of a tile
typedef Vector Row[VECTORS];                // one unit for the pixels of a panel

enum Activation { TANH, RELU, SOFTPLUS };

template <int ACTIVATION>
INLINE Vector activate(Vector x) {
    return ACTIVATION == TANH ? tanh(x) : ACTIVATION == RELU ? relu(x) : softplus(x);
}

constexpr int64_t filled(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// Without this, GCC reads a vector from memory again for each product with it.
INLINE Vector in_register(Vector x) {
#if defined(__x86_64__)
    asm("" : "+x"(x));
#endif
    return x;
}

// sum[r][c] += sum over k of a[r * row + k * next] * b[k * stride + c]
template <int COLUMNS>
INLINE void multiply(Vector (&sum)[ROWS][COLUMNS], const float *a, int64_t row, int64_t next, const Vector *b,
                     int64_t stride, int64_t count) {
    for (int64_t k = 0; k < count; ++k, a += next, b += stride) {
        Vector factors[COLUMNS];
        UNROLLED for (int c = 0; c < COLUMNS; ++c) factors[c] = in_register(b[c]);
        UNROLLED for (int r = 0; r < ROWS; ++r) {
            const Vector factor = all(a[r * row]);
            UNROLLED for (int c = 0; c < COLUMNS; ++c) sum[r][c] += factors[c] * factor;
        }
    }
}

// A network with its weights in the order in which `multiply` reads them.
struct Packed : Network {
    const int64_t rows;     // W, filled up to a multiple of ROWS
    const int64_t columns;  // vectors of units
    std::vector<float> forth, back;  // [B][rows / ROWS][W][ROWS]: of the weights, and of the transposed weights
    std::vector<float> biases;       // [B][rows]

    Packed(const Network &net, bool backward)
        : Network(net), rows(filled(W, ROWS)), columns(filled(W, LANES) / LANES), forth(B * rows * W), biases(B * rows) {
        if (backward) back.resize(forth.size());
        for (int64_t b = 0; b < B; ++b)
            for (int64_t o = 0; o < W; ++o) {
                biases[b * rows + o] = bias[b * W + o];
                for (int64_t i = 0; i < W; ++i) {
                    const float w = weight[(b * W + o) * W + i];
                    forth[block(b, o) + i * ROWS + o % ROWS] = w;
                    if (backward) back[block(b, i) + o * ROWS + i % ROWS] = w;
                }
            }
    }

    int64_t block(int64_t b, int64_t row) const { return b * rows * W + row / ROWS * ROWS * W; }
    int64_t tiles() const { return (P + PANELS * PANEL - 1) / (PANELS * PANEL); }
};

// Some pixels of one image on their way through the network.
struct Tile {
    int64_t image, first, pixels, panels;  // the last panel may repeat the last pixel
    Row coordinates[PANELS][3];

    Tile(const Packed &net, int64_t task) : image(task / net.tiles()), first(task % net.tiles() * PANELS * PANEL) {
        pixels = net.P - first < PANELS * PANEL ? net.P - first : PANELS * PANEL;
        panels = (pixels + PANEL - 1) / PANEL;
        for (int64_t p = 0; p < panels * PANEL; ++p) {
            const float *from = net.coordinates + 3 * (first + (p < pixels ? p : pixels - 1));
            for (int axis = 0; axis < 3; ++axis)
                coordinates[p / PANEL][axis][p % PANEL / LANES][p % LANES] = from[axis];
        }
    }

    // The first layer of a unit before its activation.
    INLINE Vector u(const Packed &net, int64_t panel, int64_t o, int vector) const {
        Vector sum = all(net.v[image * net.W + o]);
        for (int axis = 0; axis < 3; ++axis) sum += coordinates[panel][axis][vector] * net.input[3 * o + axis];
        return sum;
    }
};

// The activations of a tile: 1 + B layers, or two in turns without `keep`.
struct Activations {
    const int64_t rows, kept;
    std::vector<Vector> memory;

    Activations(const Packed &net, bool keep)
        : rows(net.rows), kept(keep ? net.B + 1 : 2), memory(kept * PANELS * rows * VECTORS) {}

    Row *panel(int64_t layer, int64_t panel) {
        return reinterpret_cast<Row *>(memory.data()) + (layer % kept * PANELS + panel) * rows;
    }
};

template <int ACTIVATION>
void first_layer(const Packed &net, const Tile &tile, Activations &activations) {
    for (int64_t panel = 0; panel < tile.panels; ++panel)
        for (int64_t o = 0; o < net.W; ++o)
            UNROLLED for (int vector = 0; vector < VECTORS; ++vector)
                activations.panel(0, panel)[o][vector] = activate<ACTIVATION>(tile.u(net, panel, o, vector));
}

// out[ROWS][VECTORS] = bias + a * in. A function of its own, so that all its sums stay in registers.
NOINLINE void block_of_layer(Row *out, const float *bias, const float *a, const Row *in, int64_t count) {
    Vector sum[ROWS][VECTORS];
    UNROLLED for (int r = 0; r < ROWS; ++r)
        UNROLLED for (int c = 0; c < VECTORS; ++c) sum[r][c] = all(bias[r]);
    multiply(sum, a, 1, ROWS, *in, VECTORS, count);
    UNROLLED for (int r = 0; r < ROWS; ++r)
        UNROLLED for (int c = 0; c < VECTORS; ++c) out[r][c] = sum[r][c];
}

template <int ACTIVATION>
INLINE void activate(Row *rows) {
    for (int r = 0; r < ROWS; ++r)
        UNROLLED for (int c = 0; c < VECTORS; ++c) rows[r][c] = activate<ACTIVATION>(rows[r][c]);
}

void layer(const Packed &net, const Tile &tile, int64_t b, Activations &activations) {
    for (int64_t o = 0; o < net.rows; o += ROWS)
        for (int64_t panel = 0; panel < tile.panels; ++panel) {
            Row *out = activations.panel(b + 1, panel) + o;
            block_of_layer(out, net.biases.data() + b * net.rows + o, net.forth.data() + net.block(b, o),
                           activations.panel(b, panel), net.W);
            switch (net.activations[b + 1]) {
                case TANH: activate<TANH>(out); break;
                case RELU: activate<RELU>(out); break;
                default: activate<SOFTPLUS>(out);
            }
        }
}

void forward(const Packed &net, const Tile &tile, Activations &activations) {
    switch (net.activations[0]) {
        case TANH: first_layer<TANH>(net, tile, activations); break;
        case RELU: first_layer<RELU>(net, tile, activations); break;
        default: first_layer<SOFTPLUS>(net, tile, activations);
    }
    for (int64_t b = 0; b < net.B; ++b) layer(net, tile, b, activations);
}

void write_logits(const Packed &net, const Tile &tile, Activations &activations, float *logits) {
    float *out = logits + (tile.image * net.P + tile.first) * net.C;
    for (int64_t panel = 0; panel < tile.panels; ++panel)
        for (int64_t c = 0; c < net.C; ++c) {
            const Row *h = activations.panel(net.B, panel);
            Row sum;
            for (Vector &each : sum) each = all(net.out_bias[c]);
            for (int64_t o = 0; o < net.W; ++o)
                UNROLLED for (int vector = 0; vector < VECTORS; ++vector)
                    sum[vector] += h[o][vector] * net.out_weight[c * net.W + o];
            for (int64_t i = 0, p = panel * PANEL; i < PANEL && p < tile.pixels; ++i, ++p)
                out[p * net.C + c] = sum[i / LANES][i % LANES];
        }
}

// The slope of an activation, given its output.
template <int ACTIVATION>
INLINE Vector slope(Vector out) {
    return ACTIVATION == TANH ? 1.0f - out * out : ACTIVATION == RELU ? (out <= 0.0f ? Vector{} : all(1.0f))
                                                                      : softplus_slope(out);
}

// What a share of the tiles adds up to: weights[b][o] are rows of units, all others lanes of pixels.
struct Sums {
    std::vector<Vector> weight, input, bias, out_weight, out_bias;

    explicit Sums(const Packed &net)
        : weight(net.B * net.rows * net.columns), input(net.W * 3), bias(net.B * net.W), out_weight(net.C * net.W),
          out_bias(net.C) {}

    static int64_t bytes(const Packed &net) { return net.B * net.rows * net.columns * sizeof(Vector); }
};

// The gradients of a tile between two layers, in turns, and a layer's activations with pixels and units exchanged.
struct Gradients {
    const int64_t rows, columns;
    std::vector<Vector> memory;
    Row *behind, *front;  // [PANELS][rows]
    Vector *turned;       // [PANELS * PANEL][columns]

    explicit Gradients(const Packed &net)
        : rows(net.rows), columns(net.columns), memory(PANELS * (2 * rows * VECTORS + PANEL * columns)) {
        behind = reinterpret_cast<Row *>(memory.data());
        front = behind + PANELS * rows;
        turned = reinterpret_cast<Vector *>(front + PANELS * rows);
    }
};

// sums [ROWS][columns] += for COLUMNS vectors of units the products of g [ROWS][PANEL] with turned [PANEL][columns],
// for all panels.
template <int COLUMNS>
NOINLINE void block_of_weights(Vector *sums, int64_t columns, const Row *g, int64_t rows, const Vector *turned,
                               int64_t panels) {
    Vector sum[ROWS][COLUMNS] = {};
    for (int64_t panel = 0; panel < panels; ++panel)
        multiply(sum, reinterpret_cast<const float *>(g + panel * rows), PANEL, 1, turned + panel * PANEL * columns,
                 columns, PANEL);
    UNROLLED for (int r = 0; r < ROWS; ++r)
        UNROLLED for (int c = 0; c < COLUMNS; ++c) sums[r * columns + c] += sum[r][c];
}

template <int ACTIVATION>
void through_activation(const Row *out, Row *g, int64_t rows) {
    for (int64_t o = 0; o < rows; ++o)
        UNROLLED for (int c = 0; c < VECTORS; ++c) g[o][c] *= slope<ACTIVATION>(out[o][c]);
}

// behind [PANELS][rows] *= slope of the layer's activation
void through_activation(const Packed &net, const Tile &tile, int64_t layer, Activations &activations, Gradients &g) {
    for (int64_t panel = 0; panel < tile.panels; ++panel) {
        const Row *out = activations.panel(layer, panel);
        Row *behind = g.behind + panel * net.rows;
        switch (net.activations[layer]) {
            case TANH: through_activation<TANH>(out, behind, net.W); break;
            case RELU: through_activation<RELU>(out, behind, net.W); break;
            default: through_activation<SOFTPLUS>(out, behind, net.W);
        }
    }
}

// front [PANELS][rows] = transposed weights * behind
void layer_back(const Packed &net, const Tile &tile, int64_t b, Gradients &g) {
    static const float zeros[ROWS] = {};
    for (int64_t i = 0; i < net.rows; i += ROWS)
        for (int64_t panel = 0; panel < tile.panels; ++panel)
            block_of_layer(g.front + panel * net.rows + i, zeros, net.back.data() + net.block(b, i),
                           g.behind + panel * net.rows, net.W);
    std::swap(g.front, g.behind);
}

void add_weights(const Packed &net, const Tile &tile, int64_t b, Activations &activations, Gradients &g, Sums &sums) {
    for (int64_t panel = 0; panel < tile.panels; ++panel) {
        float *turned = reinterpret_cast<float *>(g.turned + panel * PANEL * net.columns);
        const float *h = reinterpret_cast<const float *>(activations.panel(b, panel));
        for (int64_t p = 0; p < PANEL; ++p)
            for (int64_t i = 0; i < net.W; ++i) turned[p * net.columns * LANES + i] = h[i * PANEL + p];
    }
    for (int64_t o = 0; o < net.rows; o += ROWS)
        for (int64_t i = 0; i < net.columns;) {
            Vector *to = sums.weight.data() + (b * net.rows + o) * net.columns + i;
            const int64_t left = net.columns - i;
            const int64_t pieces = (left + 2) / 3, piece = (left + pieces - 1) / pieces;
            (piece == 3   ? block_of_weights<3>
             : piece == 2 ? block_of_weights<2>
                          : block_of_weights<1>)(to, net.columns, g.behind + o, net.rows, g.turned + i, tile.panels);
            i += piece;
        }
}

// Adds the gradients of one tile to `sums` and writes those of v, summed over the tile, to v_gradient [W].
void backward(const Packed &net, const Tile &tile, const float *logit_gradient, Activations &activations, Gradients &g,
              Sums &sums, float *v_gradient) {
    const float *from = logit_gradient + (tile.image * net.P + tile.first) * net.C;
    for (int64_t panel = 0; panel < tile.panels; ++panel) {
        const Row *last = activations.panel(net.B, panel);
        Row *behind = g.behind + panel * net.rows;
        for (int64_t c = 0; c < net.C; ++c) {
            Row d = {};
            for (int64_t i = 0, p = panel * PANEL; i < PANEL && p < tile.pixels; ++i, ++p)
                d[i / LANES][i % LANES] = from[p * net.C + c];
            for (const Vector &each : d) sums.out_bias[c] += each;
            for (int64_t o = 0; o < net.W; ++o)
                UNROLLED for (int vector = 0; vector < VECTORS; ++vector) {
                    const Vector share = d[vector] * net.out_weight[c * net.W + o];
                    behind[o][vector] = c == 0 ? share : behind[o][vector] + share;
                    sums.out_weight[c * net.W + o] += d[vector] * last[o][vector];
                }
        }
    }
    for (int64_t b = net.B; b > 0; --b) {
        through_activation(net, tile, b, activations, g);
        for (int64_t panel = 0; panel < tile.panels; ++panel)
            for (int64_t o = 0; o < net.W; ++o)
                for (const Vector &each : g.behind[panel * net.rows + o]) sums.bias[(b - 1) * net.W + o] += each;
        add_weights(net, tile, b - 1, activations, g, sums);
        layer_back(net, tile, b - 1, g);
    }
    through_activation(net, tile, 0, activations, g);
    for (int64_t o = 0; o < net.W; ++o) {
        Vector v_sum = {};
        for (int64_t panel = 0; panel < tile.panels; ++panel)
            for (int vector = 0; vector < VECTORS; ++vector) {
                const Vector d = g.behind[panel * net.rows + o][vector];
                v_sum += d;
                for (int axis = 0; axis < 3; ++axis)
                    sums.input[o * 3 + axis] += d * tile.coordinates[panel][axis][vector];
            }
        v_gradient[o] = static_cast<float>(sum_of_lanes(v_sum));
    }
}

// Tiles of a share: enough that adding up the shares costs little, and so few shares that their sums need little memory.
int64_t share_size(const Packed &net, int64_t tasks) {
    const int64_t fit = (int64_t{1} << 28) / (Sums::bytes(net) + 1), most = fit < 8 ? 8 : fit > 64 ? 64 : fit;
    return tasks < 8 * most ? 8 : (tasks + most - 1) / most;
}

}  // namespace

extern "C" {

// logits [N, P, C]
void network_forward(const Network *network, float *logits) {
    const Packed net(*network, false);
#pragma omp parallel num_threads(net.threads)
    {
        Activations activations(net, false);
#pragma omp for schedule(dynamic, 4)
        for (int64_t task = 0; task < net.N * net.tiles(); ++task) {
            const Tile tile(net, task);
            forward(net, tile, activations);
            write_logits(net, tile, activations, logits);
        }
    }
}

// The gradients of input, weight, bias, out_weight and out_bias, one behind the other; and of v [N, W].
// What belongs to a share, and the order of sums, do not depend on the threads: the same bits every time.
void network_backward(const Network *network, const float *logit_gradient, float *gradients, float *v_gradients) {
    const Packed net(*network, true);
    const int64_t tasks = net.N * net.tiles(), size = share_size(net, tasks), shares = (tasks + size - 1) / size;
    std::vector<float> v_parts(tasks * net.W);
    std::vector<std::unique_ptr<Sums>> parts(shares);
#pragma omp parallel num_threads(net.threads)
    {
        Activations activations(net, true);
        Gradients g(net);
#pragma omp for schedule(dynamic)
        for (int64_t share = 0; share < shares; ++share) {
            parts[share] = std::make_unique<Sums>(net);
            for (int64_t task = share * size; task < tasks && task < (share + 1) * size; ++task) {
                const Tile tile(net, task);
                forward(net, tile, activations);
                backward(net, tile, logit_gradient, activations, g, *parts[share], v_parts.data() + task * net.W);
            }
        }
    }
    const auto add = [&](auto part) {
        double sum = 0;
        for (const auto &sums : parts) sum += part(*sums);
        *gradients++ = static_cast<float>(sum);
    };
    const auto add_lanes = [&](std::vector<Vector> Sums::*of, int64_t count) {
        for (int64_t i = 0; i < count; ++i) add([=](const Sums &sums) { return sum_of_lanes((sums.*of)[i]); });
    };
    add_lanes(&Sums::input, net.W * 3);
    for (int64_t b = 0; b < net.B; ++b)
        for (int64_t o = 0; o < net.W; ++o)
            for (int64_t i = 0; i < net.W; ++i)
                add([&](const Sums &sums) {
                    return sums.weight[(b * net.rows + o) * net.columns + i / LANES][i % LANES];
                });
    add_lanes(&Sums::bias, net.B * net.W);
    add_lanes(&Sums::out_weight, net.C * net.W);
    add_lanes(&Sums::out_bias, net.C);
    for (int64_t image = 0; image < net.N; ++image)
        for (int64_t o = 0; o < net.W; ++o) {
            double sum = 0;
            for (int64_t t = 0; t < net.tiles(); ++t) sum += v_parts[(image * net.tiles() + t) * net.W + o];
            v_gradients[image * net.W + o] = static_cast<float>(sum);
        }
}
}
