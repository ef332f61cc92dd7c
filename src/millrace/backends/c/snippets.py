"""Helper functions in C, written into a file only where they are used.

``@T`` is ``double`` or ``float``, ``@f`` the suffix of its functions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snippet:
    """A helper function, and the helpers that must stand before it."""

    text: str
    needs: tuple[str, ...] = ()


PAIRWISE = Snippet(
    """\
/* The order of numpy.sum over a contiguous row: eight lanes, halves beyond 128 terms. */
static @T pairwise@f(const @T *x, int n)
{
    if (n < 8) {
        @T sum = 0;
        for (int i = 0; i < n; i++) sum += x[i];
        return sum;
    }
    if (n <= 128) {
        @T r[8];
        int i;
        for (i = 0; i < 8; i++) r[i] = x[i];
        for (i = 8; i < n - n % 8; i += 8)
            for (int j = 0; j < 8; j++) r[j] += x[i + j];
        @T sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < n; i++) sum += x[i];
        return 0 + sum;
    }
    int half = n / 2;
    half -= half % 8;
    return pairwise@f(x, half) + pairwise@f(x + half, n - half);
}
"""
)

FLOOR_DIVIDE = Snippet(
    """\
static @T floor_divide@f(@T a, @T b)
{
    if (b == 0) return a / b;
    @T mod = fmod@f(a, b);
    @T quotient = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) quotient -= 1;
    if (quotient == 0) return copysign@f(0, a / b);
    @T whole = floor@f(quotient);
    return quotient - whole > (@T)0.5 ? whole + 1 : whole;
}
"""
)

REMAINDER = Snippet(
    """\
static @T python_remainder@f(@T a, @T b)
{
    @T mod = fmod@f(a, b);
    if (b == 0) return mod;
    if (mod == 0) return copysign@f(0, b);
    return (b < 0) != (mod < 0) ? mod + b : mod;
}
"""
)

LOGADDEXP = Snippet(
    """\
static @T logaddexp@f(@T a, @T b)
{
    if (a == b) return a + (@T)0.693147180559945309417232121458176568;
    @T d = a - b;
    if (d > 0) return a + log1p@f(exp@f(-d));
    if (d <= 0) return b + log1p@f(exp@f(d));
    return d;
}
"""
)

BOXCOX = Snippet(
    """\
static @T boxcox@f(@T value, @T exponent)
{
    const double x = value, power = exponent;
    if (fabs(power) < 1e-19) return (@T)log(x);
    if (power * log(x) < 709.78) return (@T)(expm1(power * log(x)) / power);
    return (@T)(copysign(1, power) * exp(power * log(x) - log(fabs(power))) - 1 / power);
}
"""
)

INV_BOXCOX = Snippet(
    """\
static @T inv_boxcox@f(@T value, @T exponent)
{
    const double x = value, power = exponent;
    if (power == 0) return (@T)exp(x);
    if (power * x < 1.79e308) return (@T)exp(log1p(power * x) / power);
    return (@T)exp((log(copysign(1, power) * (x + 1 / power)) + log(fabs(power))) / power);
}
"""
)

LOGIT = Snippet(
    """\
static @T logit@f(@T x)
{
    if (x < (@T)0.3 || x > (@T)0.65) return log@f(x / (1 - x));
    @T s = 2 * (x - (@T)0.5);
    return log1p@f(s) - log1p@f(-s);
}
"""
)

NDTR = Snippet(
    """\
static @T ndtr@f(@T a)
{
    double x = a * 0.70710678118654752440, z = fabs(x);
    if (isnan(x)) return (@T)x;
    if (z < 1) return (@T)(0.5 + 0.5 * erf(x));
    double y = 0.5 * erfc(z);
    return (@T)(x > 0 ? 1 - y : y);
}
"""
)

TO_INTEGER = {
    name: Snippet(
        f"""\
/* As the processor that NumPy runs on: what does not fit becomes the lowest number. */
static {ctype} to_{name}(double x)
{{
    return x >= {low} && x < {high} ? ({ctype})x : {lowest};
}}
"""
    )
    for name, ctype, low, high, lowest in (
        ("int64", "int64_t", "-9223372036854775808.0", "9223372036854775808.0", "INT64_MIN"),
        ("int32", "int32_t", "-2147483648.0", "2147483648.0", "INT32_MIN"),
    )
}

FIND_NUMBER = Snippet(
    """\
/* Where a number stands in a sorted list, -1 where it does not. */
static int32_t find_number(const double *sorted, int32_t n, double x)
{
    int32_t low = 0, high = n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (sorted[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low < n && sorted[low] == x ? low : -1;
}
"""
)

FIND_TEXT = Snippet(
    """\
/* Where a text stands in a list sorted by its bytes, -1 where it does not. */
static int32_t find_text(const char *const *sorted, int32_t n, const char *text)
{
    int32_t low = 0, high = n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = strcmp(sorted[middle], text);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}
"""
)

SEARCH_LEFT = Snippet(
    """\
/* numpy.searchsorted(edges, x, "left"); NaN comes after all numbers. */
static int64_t search_left(const double *edge, int64_t n, double x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (edge[middle] < x || (isnan(x) && !isnan(edge[middle]))) low = middle + 1;
        else high = middle;
    }
    return low;
}
"""
)

SEARCH_RIGHT = Snippet(
    """\
/* numpy.searchsorted(edges, x, "right"); NaN comes after all numbers. */
static int64_t search_right(const double *edge, int64_t n, double x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (x < edge[middle] || (isnan(edge[middle]) && !isnan(x))) high = middle;
        else low = middle + 1;
    }
    return low;
}
"""
)

INTERPOLATE = Snippet(
    """\
/* numpy.interp(x, xp, fp). */
static double interpolate(const double *xp, const double *fp, int64_t n, double x)
{
    if (n == 1) return fp[0];
    if (isnan(x)) return x;
    if (x < xp[0]) return fp[0];
    if (x >= xp[n - 1]) return fp[n - 1];
    int64_t j = search_right(xp, n, x) - 1;
    if (xp[j] == x) return fp[j];
    double slope = (fp[j + 1] - fp[j]) / (xp[j + 1] - xp[j]);
    double y = slope * (x - xp[j]) + fp[j];
    if (isnan(y)) {
        y = slope * (x - xp[j + 1]) + fp[j + 1];
        if (isnan(y) && fp[j] == fp[j + 1]) y = fp[j];
    }
    return y;
}
""",
    ("search_right",),
)

SPLINE = Snippet(
    """\
/* The k + 1 B-splines that are not zero at x (de Boor), and the place of the first; -1 outside. */
static int spline_basis(const double *t, int n_knots, int k, int extrapolate, double x, double *basis)
{
    const int n = n_knots - k - 1;
    if (isnan(x) || (!extrapolate && (x < t[k] || x > t[n]))) return -1;
    int at = k;
    while (at < n - 1 && x >= t[at + 1]) at++;
    double *const last = basis + k + 1;
    basis[0] = 1;
    for (int j = 1; j <= k; j++) {
        for (int i = 0; i < j; i++) last[i] = basis[i];
        basis[0] = 0;
        for (int i = 1; i <= j; i++) {
            const double b = t[at + i], a = t[at + i - j];
            if (a == b) {
                basis[i] = 0;
                continue;
            }
            const double w = last[i - 1] / (b - a);
            basis[i - 1] += w * (b - x);
            basis[i] = w * (x - a);
        }
    }
    return at - k;
}
"""
)

NDTRI = Snippet(
    """\
static double polynomial(double x, const double *c, int n, double y)
{
    for (int i = 0; i < n; i++) y = y * x + c[i];
    return y;
}

/* The inverse of the normal distribution, by the rational functions of Cephes, as in SciPy. */
static @T ndtri@f(@T probability)
{
    static const double
        p0[] = {-5.99633501014107895267E1, 9.80010754185999661536E1, -5.66762857469070293439E1,
                1.39312609387279679503E1, -1.23916583867381258016E0},
        q0[] = {1.95448858338141759834E0, 4.67627912898881538453E0, 8.63602421390890590575E1,
                -2.25462687854119370527E2, 2.00260212380060660359E2, -8.20372256168333339912E1,
                1.59056225126211695515E1, -1.18331621121330003142E0},
        p1[] = {4.05544892305962419923E0, 3.15251094599893866154E1, 5.71628192246421288162E1,
                4.40805073893200834700E1, 1.46849561928858024014E1, 2.18663306850790267539E0,
                -1.40256079171354495875E-1, -3.50424626827848203418E-2, -8.57456785154685413611E-4},
        q1[] = {1.57799883256466749731E1, 4.53907635128879210584E1, 4.13172038254672030440E1,
                1.50425385692907503408E1, 2.50464946208309415979E0, -1.42182922854787788574E-1,
                -3.80806407691578277194E-2, -9.33259480895457427372E-4},
        p2[] = {3.23774891776946035970E0, 6.91522889068984211695E0, 3.93881025292474443415E0,
                1.33303460815807542389E0, 2.01485389549179081538E-1, 1.23716634817820021358E-2,
                3.01581553508235416007E-4, 2.65806974686737550832E-6, 6.23974539184983293730E-9},
        q2[] = {6.02427039364742014255E0, 3.67983563856160859403E0, 1.37702099489081330271E0,
                2.16236993594496635890E-1, 1.34204006088543189037E-2, 3.28014464682127739104E-4,
                2.89247864745380683936E-6, 6.79019408009981274425E-9};
    double y = probability;
    if (y == 0) return -INFINITY;
    if (y == 1) return INFINITY;
    if (!(y > 0 && y < 1)) return NAN;
    const int upper = y > 1 - 0.13533528323661269189;
    if (upper) y = 1 - y;
    if (y > 0.13533528323661269189) {
        y -= 0.5;
        const double s = y * y;
        const double x = y + y * (s * polynomial(s, p0, 5, 0) / polynomial(s, q0, 8, 1));
        return (@T)(x * 2.50662827463100050242);
    }
    const double x = sqrt(-2 * log(y)), z = 1 / x;
    const double tail = x < 8 ? z * polynomial(z, p1, 9, 0) / polynomial(z, q1, 8, 1)
                              : z * polynomial(z, p2, 9, 0) / polynomial(z, q2, 8, 1);
    const double value = x - log(x) / x - tail;
    return (@T)(upper ? value : -value);
}
"""
)

CITYHASH = Snippet(
    """\
/* CityHash64 1.0 and of it the low 32 bits: what CatBoost keeps of a category. */
static const uint64_t k0 = 0xC3A5C85C97CB3127u, k1 = 0xB492B66FBE98F273u, k2 = 0x9AE16A3B2F90404Fu,
                      k3 = 0xC949D7C7509E6557u;

static uint64_t word(const unsigned char *s, int size)
{
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--) value = value << 8 | s[i];
    return value;
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return by ? x >> by | x << (64 - by) : x;
}

static uint64_t mix(uint64_t x)
{
    return x ^ x >> 47;
}

static uint64_t fold(uint64_t first, uint64_t second)
{
    const uint64_t pair = 0x9DDFEA08EB382D69u, a = mix((first ^ second) * pair);
    return mix((second ^ a) * pair) * pair;
}

static uint64_t up_to_16(const unsigned char *s, size_t n)
{
    if (n > 8) {
        const uint64_t last = word(s + n - 8, 8);
        return fold(word(s, 8), rotate(last + n, (unsigned)n)) ^ last;
    }
    if (n >= 4) return fold(n + (word(s, 4) << 3), word(s + n - 4, 4));
    if (n == 0) return k2;
    const uint32_t y = s[0] + ((uint32_t)s[n >> 1] << 8), z = (uint32_t)n + ((uint32_t)s[n - 1] << 2);
    return mix(y * k2 ^ z * k3) * k2;
}

static uint64_t up_to_32(const unsigned char *s, size_t n)
{
    const uint64_t a = word(s, 8) * k1, b = word(s + 8, 8), c = word(s + n - 8, 8) * k2,
                   d = word(s + n - 16, 8) * k0;
    return fold(rotate(a - b, 43) + rotate(c, 30) + d, a + rotate(b ^ k3, 20) - c + n);
}

static void half_of_64(const unsigned char *s, uint64_t a, uint64_t z, uint64_t *out)
{
    const uint64_t b = rotate(a + z, 52);
    uint64_t c = rotate(a, 37);
    a += word(s + 8, 8);
    c += rotate(a, 7);
    a += word(s + 16, 8);
    out[0] = a + z;
    out[1] = b + rotate(a, 31) + c;
}

static uint64_t up_to_64(const unsigned char *s, size_t n)
{
    uint64_t v[2], w[2];
    half_of_64(s, word(s, 8) + (n + word(s + n - 16, 8)) * k0, word(s + 24, 8), v);
    half_of_64(s + n - 32, word(s + 16, 8) + word(s + n - 32, 8), word(s + n - 8, 8), w);
    const uint64_t r = mix((v[0] + w[1]) * k2 + (w[0] + v[1]) * k0);
    return mix(r * k0 + v[1]) * k2;
}

static void weak(const unsigned char *s, uint64_t a, uint64_t b, uint64_t *out)
{
    a += word(s, 8);
    b = rotate(b + a + word(s + 24, 8), 21);
    const uint64_t c = a;
    a += word(s + 8, 8) + word(s + 16, 8);
    out[0] = a + word(s + 24, 8);
    out[1] = b + rotate(a, 44) + c;
}

static uint64_t longer(const unsigned char *s, size_t n)
{
    uint64_t x = word(s, 8), y = word(s + n - 16, 8) ^ k1, z = word(s + n - 56, 8) ^ k0, v[2], w[2];
    weak(s + n - 64, n, y, v);
    weak(s + n - 32, n * k1, k0, w);
    z += mix(v[1]) * k1;
    x = rotate(z + x, 39) * k1;
    y = rotate(y, 33) * k1;
    for (size_t at = 0; at < ((n - 1) & ~(size_t)63); at += 64) {
        x = rotate(x + y + v[0] + word(s + at + 16, 8), 37) * k1 ^ w[1];
        y = rotate(y + v[1] + word(s + at + 48, 8), 42) * k1 ^ v[0];
        z = rotate(z ^ w[0], 33);
        weak(s + at, v[1] * k1, x + w[0], v);
        weak(s + at + 32, z + w[1], y, w);
        const uint64_t swapped = z;
        z = x;
        x = swapped;
    }
    return fold(fold(v[0], w[0]) + mix(y) * k1 + z, fold(v[1], w[1]) + x);
}

static double category_hash(const char *text)
{
    const unsigned char *const s = (const unsigned char *)text;
    const size_t n = strlen(text);
    const uint64_t hash = n <= 16 ? up_to_16(s, n) : n <= 32 ? up_to_32(s, n)
                        : n <= 64 ? up_to_64(s, n) : longer(s, n);
    const double low = (double)(uint32_t)hash;
    return low < 2147483648.0 ? low : low - 4294967296.0;
}
"""
)

SNIPPETS = {
    "category_hash": CITYHASH,
    "ndtri": NDTRI,
    "spline_basis": SPLINE,
    "pairwise": PAIRWISE,
    "floor_divide": FLOOR_DIVIDE,
    "python_remainder": REMAINDER,
    "logaddexp": LOGADDEXP,
    "boxcox": BOXCOX,
    "inv_boxcox": INV_BOXCOX,
    "logit": LOGIT,
    "ndtr": NDTR,
    "find_number": FIND_NUMBER,
    "find_text": FIND_TEXT,
    "search_left": SEARCH_LEFT,
    "search_right": SEARCH_RIGHT,
    "interpolate": INTERPOLATE,
    **{f"to_{name}": snippet for name, snippet in TO_INTEGER.items()},
}
"""All helper functions by name."""
