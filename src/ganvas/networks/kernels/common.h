// What the kernels share: the network they are given, vectors of pixels, and activations.
//
// Pixels lie side by side in the lanes of a vector, so a kernel computes the same for each pixel wherever it lies: the
// bits of an image do not depend on how it is cut. What is not a number stays not a number.
// All arrays are float32, contiguous, in the order of the letters:
//   N images, P pixels, C channels, B blocks, D layers of a block, W units
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#ifdef __clang__
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 32")
#endif
#define INLINE inline __attribute__((always_inline))

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(LANES * sizeof(int32_t))));

struct Network {
    int64_t N, P, C, B, D, W;
    const float *v;            // [N, W]: the latent's part of the first layer, its bias included
    const float *coordinates;  // [P, 3]: x, y, r
    const float *input;        // [W, 3]: weights of the coordinates
    const float *weight;       // [B, D, W, W]
    const float *bias;         // [B, D, W]
    const float *out_weight;   // [C, W]
    const float *out_bias;     // [C]
    const char *activations;   // of a layered network: [1 + B], numbered as in `evaluate`
    int64_t threads;
};

INLINE Vector all(float value) { return Vector{} + value; }

// A lane of x which is not a number keeps its value: comparisons are written as the instructions of x86 compare, but GCC
// does not see that they are one instruction.
#if defined(__AVX512F__)
INLINE Vector at_least(Vector low, Vector x) { return _mm512_max_ps(low, x); }
INLINE Vector at_most(Vector high, Vector x) { return _mm512_min_ps(high, x); }
#elif defined(__AVX__)
INLINE Vector at_least(Vector low, Vector x) { return _mm256_max_ps(low, x); }
INLINE Vector at_most(Vector high, Vector x) { return _mm256_min_ps(high, x); }
#else
INLINE Vector at_least(Vector low, Vector x) { return low > x ? low : x; }
INLINE Vector at_most(Vector high, Vector x) { return high < x ? high : x; }
#endif
INLINE Vector relu(Vector x) { return at_least(Vector{}, x); }

// x P(x^2) / Q(x^2), a minimax fit of the relative error up to where tanh is 1 within an ulp, its coefficients then
// searched for the least error in float32: 3e-7 relative to tanh, and at most an ulp above 1 (the tests measure it). The
// limit of x is one where it is exactly 1, so that saturated units have no gradient, as in PyTorch: Adam would enlarge it.
INLINE Vector tanh(Vector x) {
    x = at_least(all(-8.3f), at_most(all(8.3f), x));
    const Vector s = x * x;
    Vector p = s * 1.45213068e-08f + 2.14273259e-05f, q = s * 8.24642427e-07f + 3.36623692e-04f;
    p = p * s + 3.54460091e-03f, q = q * s + 2.60629021e-02f;
    p = p * s + 1.34221286e-01f, q = q * s + 4.67554510e-01f;
    p = p * s + 1.0f, q = q * s + 1.0f;
    return x * p / q;
}

// exp(x) = power + power * rest for x <= 0: power = 2^n, and rest = exp(r) - 1 with |r| <= log(2) / 2, as r + r^2 times a
// minimax fit. Adding 1.5 * 2^23 rounds to an integer, which then fills the last bits. It ends at exp(-87), the last
// normal number.
struct Exponential {
    Vector power, rest;

    INLINE explicit Exponential(Vector x) {
        x = at_least(all(-87.0f), x);
        const Vector shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
        power = (Vector)(((Integers)shifted + 127) << 23);
        const Vector r = x - n * 0.693359375f + n * 2.12194440e-4f, s = r * r;
        const Vector low = r * 1.66665206e-01f + 4.99999934e-01f, high = r * 8.36871689e-03f + 4.16683880e-02f;
        rest = ((s * 1.38145985e-03f + high) * s + low) * s + r;
    }
};

// max(x, 0) + log(1 + t) with t = exp(-|x|): with s = t / (2 + t), the logarithm is 2 atanh(s), fitted like tanh.
INLINE Vector softplus(Vector x) {
    const Exponential e(x > 0.0f ? -x : x);  // not a number stays so
    const Vector t = e.power + e.power * e.rest, s = t / (t + 2.0f), q = s * s;
    const Vector low = q * 6.66663147e-01f + 2.0f, high = q * 2.79606028e-01f + 4.00249103e-01f, qq = q * q;
    return relu(x) + ((qq * 2.81783349e-01f + high) * qq + low) * s;
}

// The derivative of y = softplus(x), which is 1 - exp(-y), without cancellation.
INLINE Vector softplus_slope(Vector y) {
    const Exponential e(-y);
    return 1.0f - e.power - e.power * e.rest;
}

double sum_of_lanes(Vector x) {
    double sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += x[lane];
    return sum;
}

}  // namespace

extern "C" {

// values [count] -> tanh, relu, softplus (0, 1, 2) or softplus_slope of them, in place; for the tests
void evaluate(int64_t function, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) {
        const size_t bytes = sizeof(float) * (count - i < LANES ? count - i : LANES);
        Vector x = {};
        std::memcpy(&x, values + i, bytes);
        x = function == 0 ? tanh(x) : function == 1 ? relu(x) : function == 2 ? softplus(x) : softplus_slope(x);
        std::memcpy(values + i, &x, bytes);
    }
}

int64_t lanes() { return LANES; }

int64_t openmp() {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
}
