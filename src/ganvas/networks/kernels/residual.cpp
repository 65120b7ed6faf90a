// The residual pixel network on a CPU: its logits, and their gradients.
//
// A layer of this network is WIDTH numbers a pixel, a few instructions, so a framework that takes one layer after the
// other over a whole image mostly waits for memory. Here a tile of pixels goes through all the layers while its
// activations stay in the cache; the backward pass computes them again instead of keeping them from the forward pass.
// Pixels lie side by side in the lanes of a vector, and a tile is an array [row][vector]: one row per unit.
//
// Compiled for one width (-DWIDTH=6), so that every loop over units is unrolled.
#include "common.h"

namespace {

constexpr int W = WIDTH;
constexpr int TILE = 8;  // vectors of pixels that go through the network together: an even number
constexpr int64_t TILE_PIXELS = TILE * LANES;
constexpr int PAIR = 2;  // vectors that share each weight once it is in a register
typedef Vector Row[TILE];

int64_t layer(const Network &net, int64_t b, int64_t l) { return b * net.D + l; }
int64_t tiles(const Network &net) { return (net.P + TILE_PIXELS - 1) / TILE_PIXELS; }

// The size of the next piece when `left` is cut into as few pieces as possible, none above `most`, all of like size.
constexpr int piece(int left, int most) {
    const int pieces = (left + most - 1) / most;
    return (left + pieces - 1) / pieces;
}

// sum(o) = start(o) + sum over i of weight(o, i) * in[i], handed to then(o, vector, sum).
// Up to 6 outputs of 2 vectors are summed at a time: they, and what is multiplied, fill the 16 registers of AVX.
template <int FIRST = 0, class Weight, class Start, class Then>
INLINE void product(Weight weight, Start start, const Row *in, int vectors, Then then) {
    constexpr int OUTPUTS = piece(W - FIRST, 6);
    for (int vector = 0; vector < vectors; vector += PAIR) {
        Vector sum[OUTPUTS][PAIR];
        UNROLLED for (int o = 0; o < OUTPUTS; ++o)
            UNROLLED for (int j = 0; j < PAIR; ++j) sum[o][j] = start(FIRST + o);
        for (int i = 0; i < W; ++i)
            UNROLLED for (int o = 0; o < OUTPUTS; ++o) {
                const Vector w = all(weight(FIRST + o, i));
                UNROLLED for (int j = 0; j < PAIR; ++j) sum[o][j] += in[i][vector + j] * w;
            }
        UNROLLED for (int o = 0; o < OUTPUTS; ++o)
            UNROLLED for (int j = 0; j < PAIR; ++j) then(FIRST + o, vector + j, sum[o][j]);
    }
    if constexpr (FIRST + OUTPUTS < W) product<FIRST + OUTPUTS>(weight, start, in, vectors, then);
}

// Add to weight_sums [W][W] the products of OUTPUTS rows of g, from row o on, with all rows of k, and to bias_sums [W]
// the rows themselves; lanes stay apart.
template <int OUTPUTS, int I = 0>
INLINE void outer(int o, const Row *g, const Row *k, int vectors, Vector *weight_sums, Vector *bias_sums) {
    constexpr int INPUTS = piece(W - I, 6);
    Vector sum[OUTPUTS][INPUTS] = {}, own[OUTPUTS] = {};
    for (int vector = 0; vector < vectors; ++vector)
        UNROLLED for (int j = 0; j < OUTPUTS; ++j) {
            if constexpr (I == 0) own[j] += g[o + j][vector];
            UNROLLED for (int i = 0; i < INPUTS; ++i) sum[j][i] += g[o + j][vector] * k[I + i][vector];
        }
    UNROLLED for (int j = 0; j < OUTPUTS; ++j) {
        if constexpr (I == 0) bias_sums[o + j] += own[j];
        UNROLLED for (int i = 0; i < INPUTS; ++i) weight_sums[(o + j) * W + I + i] += sum[j][i];
    }
    if constexpr (I + INPUTS < W) outer<OUTPUTS, I + INPUTS>(o, g, k, vectors, weight_sums, bias_sums);
}

INLINE void outer(const Row *g, const Row *k, int vectors, Vector *weight_sums, Vector *bias_sums) {
    for (int o = 0; o + 2 <= W; o += 2) outer<2>(o, g, k, vectors, weight_sums, bias_sums);
    if constexpr (W % 2) outer<1>(W - 1, g, k, vectors, weight_sums, bias_sums);
}

// Some pixels of one image on their way through the network.
struct Tile {
    int64_t image, first;  // first pixel
    int pixels, vectors;   // vectors are even: the last ones may repeat the last pixel
    Row coordinates[3];

    Tile(const Network &net, int64_t task) : image(task / tiles(net)), first(task % tiles(net) * TILE_PIXELS) {
        pixels = static_cast<int>(net.P - first < TILE_PIXELS ? net.P - first : TILE_PIXELS);
        vectors = (pixels + PAIR * LANES - 1) / (PAIR * LANES) * PAIR;
        for (int p = 0; p < vectors * LANES; ++p) {
            const float *from = net.coordinates + 3 * (first + (p < pixels ? p : pixels - 1));
            for (int axis = 0; axis < 3; ++axis) coordinates[axis][p / LANES][p % LANES] = from[axis];
        }
    }
};

// The activations of a tile: for each block its input h, the D - 1 outputs of its relus, and its tanh; then the last h.
// Without `keep` all blocks share the place of one, and h is updated where it lies.
struct Activations {
    const int64_t block;  // rows from a block to the next
    std::vector<Vector> memory;

    Activations(const Network &net, bool keep)
        : block(keep ? (net.D + 1) * W : 0), memory((net.B * block + (net.D + 1) * W) * TILE) {}

    Row *rows(int64_t b, int64_t l = 0) { return reinterpret_cast<Row *>(memory.data()) + b * block + l * W; }
};

void forward(const Network &net, const Tile &tile, Activations &activations) {
    Row *h = activations.rows(0);
    for (int o = 0; o < W; ++o) {
        const float *w = net.input + 3 * o;
        for (int vector = 0; vector < tile.vectors; ++vector) {
            Vector u = all(net.v[tile.image * W + o]);
            for (int axis = 0; axis < 3; ++axis) u += tile.coordinates[axis][vector] * w[axis];
            h[o][vector] = tanh(u);
        }
    }
    for (int64_t b = 0; b < net.B; ++b)
        for (int64_t l = 0; l < net.D; ++l) {
            const float *w = net.weight + layer(net, b, l) * W * W, *bias = net.bias + layer(net, b, l) * W;
            const auto weight = [=](int o, int i) { return w[o * W + i]; };
            const auto start = [=](int o) { return all(bias[o]); };
            const Row *in = activations.rows(b, l);
            Row *out = activations.rows(b, l + 1);
            if (l < net.D - 1) {
                product(weight, start, in, tile.vectors,
                        [=](int o, int vector, Vector sum) { out[o][vector] = relu(sum); });
            } else {
                product(weight, start, in, tile.vectors,
                        [=](int o, int vector, Vector sum) { out[o][vector] = tanh(sum); });
                const Row *before = activations.rows(b);
                Row *after = activations.rows(b + 1);
                for (int o = 0; o < W; ++o)
                    for (int vector = 0; vector < tile.vectors; ++vector)
                        after[o][vector] = before[o][vector] + out[o][vector];
            }
        }
}

void write_logits(const Network &net, const Tile &tile, const Row *h, float *logits) {
    float *out = logits + (tile.image * net.P + tile.first) * net.C;
    for (int64_t c = 0; c < net.C; ++c)
        for (int vector = 0; vector < tile.vectors; ++vector) {
            Vector sum = all(net.out_bias[c]);
            for (int o = 0; o < W; ++o) sum += h[o][vector] * net.out_weight[c * W + o];
            for (int lane = 0, p = vector * LANES; lane < LANES && p < tile.pixels; ++lane, ++p)
                out[p * net.C + c] = sum[lane];
        }
}

// What a share of the tiles adds up to, lane by lane; in the order in which gradients are handed back.
struct Sums {
    std::vector<Vector> memory;
    Vector *input, *weight, *bias, *out_weight, *out_bias;

    explicit Sums(const Network &net) : memory(size(net)) {
        input = memory.data();
        weight = input + W * 3;
        bias = weight + net.B * net.D * W * W;
        out_weight = bias + net.B * net.D * W;
        out_bias = out_weight + net.C * W;
    }

    static int64_t size(const Network &net) { return W * 3 + net.B * net.D * W * (W + 1) + net.C * (W + 1); }
};

// Adds the gradients of one tile to `sums` and writes those of v, summed over the tile, to v_gradient [W].
void backward(const Network &net, const Tile &tile, const float *logit_gradient, Activations &activations, Sums &sums,
              float *v_gradient) {
    Row h_gradient[W] = {}, ping[W], pong[W];
    Row *g = ping, *before = pong;  // gradients behind and before a layer

    const Row *last = activations.rows(net.B);
    for (int64_t c = 0; c < net.C; ++c)
        for (int vector = 0; vector < tile.vectors; ++vector) {
            Vector d = {};
            for (int lane = 0, p = vector * LANES; lane < LANES && p < tile.pixels; ++lane, ++p)
                d[lane] = logit_gradient[((tile.image * net.P) + tile.first + p) * net.C + c];
            sums.out_bias[c] += d;
            for (int o = 0; o < W; ++o) {
                sums.out_weight[c * W + o] += d * last[o][vector];
                h_gradient[o][vector] += d * net.out_weight[c * W + o];
            }
        }

    for (int64_t b = net.B - 1; b >= 0; --b) {
        const Row *t = activations.rows(b, net.D);
        for (int o = 0; o < W; ++o)
            for (int vector = 0; vector < tile.vectors; ++vector)
                g[o][vector] = h_gradient[o][vector] * (1.0f - t[o][vector] * t[o][vector]);
        for (int64_t l = net.D - 1; l >= 0; --l) {
            const int64_t at = layer(net, b, l);
            const Row *k = activations.rows(b, l);
            outer(g, k, tile.vectors, sums.weight + at * W * W, sums.bias + at * W);
            const float *w = net.weight + at * W * W;
            const auto transposed = [=](int i, int o) { return w[o * W + i]; };
            const auto start = [](int) { return Vector{}; };
            if (l > 0) {
                product(transposed, start, g, tile.vectors, [=](int i, int vector, Vector sum) {
                    before[i][vector] = k[i][vector] > 0.0f ? sum : Vector{};
                });
                std::swap(g, before);
            } else {
                product(transposed, start, g, tile.vectors,
                        [&](int i, int vector, Vector sum) { h_gradient[i][vector] += sum; });
            }
        }
    }

    const Row *h = activations.rows(0);
    for (int o = 0; o < W; ++o) {
        Vector v_sum = {};
        for (int vector = 0; vector < tile.vectors; ++vector) {
            const Vector d = h_gradient[o][vector] * (1.0f - h[o][vector] * h[o][vector]);
            v_sum += d;
            for (int axis = 0; axis < 3; ++axis) sums.input[o * 3 + axis] += d * tile.coordinates[axis][vector];
        }
        v_gradient[o] = static_cast<float>(sum_of_lanes(v_sum));
    }
}

// Tiles of a share: enough that adding up its lanes costs little, and no more than 64 shares, for the memory of sums.
int64_t share_size(int64_t tasks) { return tasks < 64 * 64 ? 64 : (tasks + 63) / 64; }

}  // namespace

extern "C" {

// logits [N, P, C]
void network_forward(const Network *network, float *logits) {
    const Network net = *network;
#pragma omp parallel num_threads(net.threads)
    {
        Activations activations(net, false);
#pragma omp for schedule(dynamic, 8)
        for (int64_t task = 0; task < net.N * tiles(net); ++task) {
            const Tile tile(net, task);
            forward(net, tile, activations);
            write_logits(net, tile, activations.rows(0), logits);
        }
    }
}

// The gradients of input, weight, bias, out_weight and out_bias, one behind the other; and of v [N, W].
// What belongs to a share, and the order of sums, do not depend on the threads: the same bits every time.
void network_backward(const Network *network, const float *logit_gradient, float *gradients, float *v_gradients) {
    const Network net = *network;
    const int64_t tasks = net.N * tiles(net), size = share_size(tasks), shares = (tasks + size - 1) / size;
    std::vector<float> v_parts(tasks * W);
    std::vector<std::vector<double>> parts(shares);
#pragma omp parallel num_threads(net.threads)
    {
        Activations activations(net, true);
#pragma omp for schedule(dynamic)
        for (int64_t share = 0; share < shares; ++share) {
            Sums sums(net);
            for (int64_t task = share * size; task < tasks && task < (share + 1) * size; ++task) {
                const Tile tile(net, task);
                forward(net, tile, activations);
                backward(net, tile, logit_gradient, activations, sums, v_parts.data() + task * W);
            }
            for (const Vector &lanes : sums.memory) parts[share].push_back(sum_of_lanes(lanes));
        }
    }
    for (int64_t i = 0; i < Sums::size(net); ++i) {
        double sum = 0;
        for (const auto &part : parts) sum += part[i];
        gradients[i] = static_cast<float>(sum);
    }
    for (int64_t image = 0; image < net.N; ++image)
        for (int o = 0; o < W; ++o) {
            double sum = 0;
            for (int64_t t = 0; t < tiles(net); ++t) sum += v_parts[(image * tiles(net) + t) * W + o];
            v_gradients[image * W + o] = static_cast<float>(sum);
        }
}
}
