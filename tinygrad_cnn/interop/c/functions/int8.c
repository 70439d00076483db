/* A byte q stands for the number scale * (q - zero). A sum of products of bytes becomes a byte of the next array:
   sum * multiplier / 2^shift, rounded, half away from 0, then `zero` added, and kept from -128 to 127. */
static int8_t rescaled(int32_t total, int32_t multiplier, int shift, int zero)
{
    const int64_t product = (int64_t)total * multiplier, half = (int64_t)1 << (shift - 1);
    const int64_t size = ((product < 0 ? -product : product) + half) >> shift;
    const int64_t byte = (product < 0 ? -size : size) + zero;
    return (int8_t)(byte < -128 ? -128 : byte > 127 ? 127 : byte);
}

/* The border between floats and bytes: q = x / scale + zero, rounded, and kept from -128 to 127; a NaN as if 0. */
static void quantise(const float *x, int n, float per_unit, int zero, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        const float level = x[i] * per_unit + (float)zero;
        if (level >= 127.0f)
            y[i] = 127;
        else if (level > -128.0f)
            y[i] = (int8_t)((int)(level + 128.5f) - 128);
        else
            y[i] = (int8_t)(level <= -128.0f ? -128 : zero);
    }
}

/* The border between bytes and floats. */
static void dequantise(const int8_t *x, int n, float scale, int zero, float *scores)
{
    for (int i = 0; i < n; i++)
        scores[i] = scale * (float)(x[i] - zero);
}

/* The sum of products under the overlay of filter f at place (p, q); pixels beyond the border are `zero`. */
static int32_t overlay_sum(const int8_t *x, int zero, const int8_t *w, Window s, int f, int p, int q)
{
    const int channels = s.channels / s.groups, maps = s.maps / s.groups;
    const int row = p * s.stride_rows - s.top, column = q * s.stride_columns - s.left;
    const int first_i = first_tap(row, s.dilation_rows);
    const int end_i = end_tap(row, s.dilation_rows, s.overlay_rows, s.height);
    const int first_j = first_tap(column, s.dilation_columns);
    const int end_j = end_tap(column, s.dilation_columns, s.overlay_columns, s.width);
    int32_t total = 0;
    for (int c = 0; c < channels; c++)
        for (int i = first_i; i < end_i; i++) {
            const int8_t *pixels = x + ((f / maps * channels + c) * s.height + row + i * s.dilation_rows) * s.width;
            const int8_t *weights = w + ((f * channels + c) * s.overlay_rows + i) * s.overlay_columns;
            for (int j = first_j; j < end_j; j++)
                total += weights[j] * (pixels[column + j * s.dilation_columns] - zero);
        }
    return total;
}

/* Slide each filter over the maps, unturned, and sum the products: z = correlate2d(x, w) + b. */
static void correlate2d(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                        const uint8_t *shift, int new_zero, Window s, int8_t *z)
{
    for (int f = 0; f < s.maps; f++)
        for (int p = 0; p < s.rows; p++)
            for (int q = 0; q < s.columns; q++)
                *z++ = rescaled(b[f] + overlay_sum(x, zero, w, s, f, p, q), multiplier[f], shift[f], new_zero);
}

/* The same, as the network's scores. */
static void correlate2d_scores(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const float *scale, Window s,
                               float *scores)
{
    for (int f = 0; f < s.maps; f++)
        for (int p = 0; p < s.rows; p++)
            for (int q = 0; q < s.columns; q++)
                *scores++ = scale[f] * (float)(b[f] + overlay_sum(x, zero, w, s, f, p, q));
}

/* Let every number of x paint its weighted filter where the filter stood: z = convolve2d(x, w, "full") + b.
   A pixel (r, c) of the result receives from tap (i, j) of place (p, q) if p * stride + i * dilation - top = r. */
static void convolve2d_full(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                            const uint8_t *shift, int new_zero, Window s, int8_t *z)
{
    const int channels = s.channels / s.groups, maps = s.maps / s.groups;
    for (int m = 0; m < s.maps; m++) {
        const int first = m / maps * channels;
        for (int r = 0; r < s.rows; r++)
            for (int c = 0; c < s.columns; c++) {
                int32_t total = b[m];
                for (int i = 0; i < s.overlay_rows; i++) {
                    const int row = r + s.top - i * s.dilation_rows, p = row / s.stride_rows;
                    if (row < 0 || row % s.stride_rows != 0 || p >= s.height)
                        continue;
                    for (int j = 0; j < s.overlay_columns; j++) {
                        const int column = c + s.left - j * s.dilation_columns, q = column / s.stride_columns;
                        if (column < 0 || column % s.stride_columns != 0 || q >= s.width)
                            continue;
                        for (int f = first; f < first + channels; f++)
                            total += w[((f * maps + m % maps) * s.overlay_rows + i) * s.overlay_columns + j]
                                   * (x[(f * s.height + p) * s.width + q] - zero);
                    }
                }
                *z++ = rescaled(total, multiplier[m], shift[m], new_zero);
            }
    }
}

/* What one neuron sums up: its weights times its inputs. */
static int32_t neuron_sum(const int8_t *x, int zero, const int8_t *w, int inputs)
{
    int32_t total = 0;
    for (int k = 0; k < inputs; k++)
        total += w[k] * (x[k] - zero);
    return total;
}

/* Each row of x through a fully connected layer: z = w x + b, a row of w for each neuron. */
static void fully_connected(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                            const uint8_t *shift, int new_zero, int rows, int inputs, int neurons, int8_t *z)
{
    for (int r = 0; r < rows; r++)
        for (int m = 0; m < neurons; m++)
            *z++ = rescaled(b[m] + neuron_sum(x + r * inputs, zero, w + m * inputs, inputs), multiplier[m], shift[m],
                            new_zero);
}

/* The same, as the network's scores. */
static void fully_connected_scores(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const float *scale,
                                   int rows, int inputs, int neurons, float *scores)
{
    for (int r = 0; r < rows; r++)
        for (int m = 0; m < neurons; m++)
            *scores++ = scale[m] * (float)(b[m] + neuron_sum(x + r * inputs, zero, w + m * inputs, inputs));
}

/* y = u v, a product of matrices for each of `count`; `next_u` numbers lie between one u and the next. */
static void matmul(const int8_t *u, int zero_u, int next_u, const int8_t *v, int zero_v, int next_v, int32_t multiplier,
                   int shift, int new_zero, int count, int rows, int inner, int columns, int8_t *y)
{
    for (int n = 0; n < count; n++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                int32_t total = 0;
                for (int k = 0; k < inner; k++)
                    total += (u[n * next_u + i * inner + k] - zero_u) * (v[n * next_v + k * columns + j] - zero_v);
                *y++ = rescaled(total, multiplier, shift, new_zero);
            }
}

/* The largest number under each place of the overlay; a border never wins. */
static void maxpool(const int8_t *x, Window s, int8_t *a)
{
    for (int c = 0; c < s.maps; c++)
        for (int p = 0; p < s.rows; p++)
            for (int q = 0; q < s.columns; q++) {
                const int row = p * s.stride_rows - s.top, column = q * s.stride_columns - s.left;
                const int end_i = end_tap(row, s.dilation_rows, s.overlay_rows, s.height);
                const int end_j = end_tap(column, s.dilation_columns, s.overlay_columns, s.width);
                int8_t largest = -128;
                for (int i = first_tap(row, s.dilation_rows); i < end_i; i++)
                    for (int j = first_tap(column, s.dilation_columns); j < end_j; j++) {
                        const int8_t pixel = x[(c * s.height + row + i * s.dilation_rows) * s.width
                                               + column + j * s.dilation_columns];
                        if (pixel > largest)
                            largest = pixel;
                    }
                *a++ = largest;
            }
}

/* The sum under the overlay of map c at place (p, q), in a border of zeros. */
static int32_t overlay_total(const int8_t *x, int zero, Window s, int c, int p, int q)
{
    const int row = p * s.stride_rows - s.top, column = q * s.stride_columns - s.left;
    const int end_i = end_tap(row, s.dilation_rows, s.overlay_rows, s.height);
    const int end_j = end_tap(column, s.dilation_columns, s.overlay_columns, s.width);
    int32_t total = 0;
    for (int i = first_tap(row, s.dilation_rows); i < end_i; i++)
        for (int j = first_tap(column, s.dilation_columns); j < end_j; j++)
            total += x[(c * s.height + row + i * s.dilation_rows) * s.width + column + j * s.dilation_columns] - zero;
    return total;
}

/* The mean under each place of the overlay, in a border of zeros; the multiplier divides. */
static void avgpool(const int8_t *x, int zero, Window s, int32_t multiplier, int shift, int new_zero, int8_t *a)
{
    for (int c = 0; c < s.maps; c++)
        for (int p = 0; p < s.rows; p++)
            for (int q = 0; q < s.columns; q++)
                *a++ = rescaled(overlay_total(x, zero, s, c, p, q), multiplier, shift, new_zero);
}

/* The same, as the network's scores. */
static void avgpool_scores(const int8_t *x, int zero, Window s, float scale, float *scores)
{
    for (int c = 0; c < s.maps; c++)
        for (int p = 0; p < s.rows; p++)
            for (int q = 0; q < s.columns; q++)
                *scores++ = scale * (float)overlay_total(x, zero, s, c, p, q);
}

/* The sum of n numbers, `inner` apart. */
static int32_t total_of(const int8_t *x, int zero, int n, int inner)
{
    int32_t total = 0;
    for (int k = 0; k < n; k++)
        total += x[k * inner] - zero;
    return total;
}

/* Sums of n numbers, `inner` apart; the multiplier makes means of them. */
static void sum(const int8_t *x, int zero, int outer, int n, int inner, int32_t multiplier, int shift, int new_zero,
                int8_t *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++)
            *y++ = rescaled(total_of(x + o * n * inner + i, zero, n, inner), multiplier, shift, new_zero);
}

/* The same, as the network's scores. */
static void sum_scores(const int8_t *x, int zero, int outer, int n, int inner, float scale, float *scores)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++)
            *scores++ = scale * (float)total_of(x + o * n * inner + i, zero, n, inner);
}

/* The largest of n numbers, `inner` apart. */
static void reduce_max(const int8_t *x, int outer, int n, int inner, int8_t *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            int8_t largest = x[o * n * inner + i];
            for (int k = 1; k < n; k++)
                if (x[(o * n + k) * inner + i] > largest)
                    largest = x[(o * n + k) * inner + i];
            *y++ = largest;
        }
}

/* The smallest of n numbers, `inner` apart. */
static void reduce_min(const int8_t *x, int outer, int n, int inner, int8_t *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            int8_t smallest = x[o * n * inner + i];
            for (int k = 1; k < n; k++)
                if (x[(o * n + k) * inner + i] < smallest)
                    smallest = x[(o * n + k) * inner + i];
            *y++ = smallest;
        }
}

/* The same numbers in another scale and zero; what is beyond it becomes its end, as by relu and clip. */
static void requantise(const int8_t *x, int n, int zero, int32_t multiplier, int shift, int new_zero, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled(x[i] - zero, multiplier, shift, new_zero);
}

/* A function of one number, by a table of its value for each byte. */
static void lookup(const int8_t *z, const int8_t *table, int n, int8_t *a)
{
    for (int i = 0; i < n; i++)
        a[i] = table[z[i] + 128];
}

/* a = e^z / sum(e^z) over n numbers, `inner` apart, in 256ths; the table has 2^16 e^-z for the distance to the largest. */
static void softmax_by_table(const int8_t *z, const int32_t *table, int outer, int n, int inner, int8_t *a)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            const int first = o * n * inner + i;
            int largest = z[first];
            for (int k = 1; k < n; k++)
                if (z[first + k * inner] > largest)
                    largest = z[first + k * inner];
            int64_t total = 0;
            for (int k = 0; k < n; k++)
                total += table[largest - z[first + k * inner]];
            for (int k = 0; k < n; k++) {
                const int64_t share = (256 * (int64_t)table[largest - z[first + k * inner]] + total / 2) / total;
                a[first + k * inner] = (int8_t)(share > 255 ? 127 : share - 128);
            }
        }
}

/* y = scale x + shift, a scale and a shift for every `repeat` numbers, `count` of them in turn. */
static void scale_and_shift(const int8_t *x, int zero, const int32_t *scale, const int32_t *shift, const uint8_t *bits,
                            int new_zero, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        const int c = i / repeat % count;
        y[i] = rescaled(scale[c] * (x[i] - zero) + shift[c], 1, bits[c], new_zero);
    }
}

/* y = scale_u u + scale_v v, over 2^bits: a sum, or a difference with a negative scale. v has `count` numbers, used in
   turn, each `repeat` times. */
static void add(const int8_t *u, int zero_u, int32_t scale_u, const int8_t *v, int zero_v, int32_t scale_v, int bits,
                int new_zero, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled(scale_u * (u[i] - zero_u) + scale_v * (v[i / repeat % count] - zero_v), 1, bits, new_zero);
}

/* y = u v; v has `count` numbers, used in turn, each `repeat` times. */
static void multiply(const int8_t *u, int zero_u, const int8_t *v, int zero_v, int32_t multiplier, int shift, int new_zero,
                     int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled((u[i] - zero_u) * (v[i / repeat % count] - zero_v), multiplier, shift, new_zero);
}

/* y = the larger of u and v; v has `count` numbers, used in turn, each `repeat` times. */
static void larger(const int8_t *u, const int8_t *v, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] > v[i / repeat % count] ? u[i] : v[i / repeat % count];
}

/* y = the smaller of u and v; v has `count` numbers, used in turn, each `repeat` times. */
static void smaller(const int8_t *u, const int8_t *v, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] < v[i / repeat % count] ? u[i] : v[i / repeat % count];
}
