#ifdef PREFIX_MAIN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *file;                                         /* of the image */
static unsigned char bytes[4 * PREFIX_INPUTS + 1];         /* its beginning: more than all of a raw image */
static size_t size, at;                                    /* how many bytes there are, and were read */

static int next_byte(void)
{
    return at < size ? bytes[at++] : getc(file);
}

/* The next number of a Netpbm file in decimal; -1 if there is none. A comment runs from # to the end of its line. */
static long next_number(void)
{
    int byte = next_byte();
    while (byte == '#' || byte == ' ' || (byte >= '\t' && byte <= '\r')) {
        if (byte == '#')
            while (byte != '\n' && byte != EOF)
                byte = next_byte();
        byte = next_byte();
    }
    if (byte < '0' || byte > '9')
        return -1;
    long value = 0;
    for (; byte >= '0' && byte <= '9'; byte = next_byte())
        if (value < 100000)
            value = 10 * value + (byte - '0');
    return value;
}

/* The next number of a Netpbm file: in decimal, or as one byte, or two if numbers go beyond 255; -1 if there is none. */
static long next_pixel(int kind, long largest)
{
    if (kind < '4')
        return next_number();
    const int byte = next_byte();
    if (byte == EOF || largest < 256)
        return byte == EOF ? -1 : byte;
    const int low = next_byte();
    return low == EOF ? -1 : 256L * byte + low;
}

/* Read a Netpbm image, of which the first two bytes are P2, P3, P5 or P6; a complaint, or NULL if all is well. */
static const char *read_netpbm(float *image)
{
    const int kind = bytes[1], channels = kind == '3' || kind == '6' ? 3 : 1;
    at = 2;
    const long width = next_number(), height = next_number(), largest = next_number();
    if (width < 1 || height < 1 || largest < 1 || largest > 65535)
        return "its header is damaged";
    if (channels != PREFIX_CHANNELS || height != PREFIX_HEIGHT || width != PREFIX_WIDTH)
        return "it has another size";
    for (int i = 0; i < PREFIX_HEIGHT * PREFIX_WIDTH; i++)
        for (int c = 0; c < PREFIX_CHANNELS; c++) {
            const long pixel = next_pixel(kind, largest);
            if (pixel < 0 || pixel > largest)
                return "its pixels are damaged, or too few";
            image[c * PREFIX_HEIGHT * PREFIX_WIDTH + i] = (float)pixel / (float)largest;
        }
    return NULL;
}

/* Read an image in any of the forms; a complaint, or NULL if all is well. */
static const char *read_image(float *image)
{
    size = fread(bytes, 1, sizeof bytes, file);
    if (size > 2 && bytes[0] == 'P' && strchr("2356", bytes[1]) != NULL && size != PREFIX_INPUTS)
        return read_netpbm(image);
    if (size == 4 * PREFIX_INPUTS)
        memcpy(image, bytes, size);
    else if (size == PREFIX_INPUTS)
        for (int i = 0; i < PREFIX_INPUTS; i++)
            image[i] = (float)bytes[i] / 255.0f;
    else
        return "its size is none of these";
    return NULL;
}

/* Print the share of each class in an image, which is a file, or comes from standard input without one. */
int main(int count, char **arguments)
{
    static float image[PREFIX_INPUTS], scores[PREFIX_SCORES];
    const char *name = count > 1 ? arguments[1] : "standard input";
    if (count > 2) {
        fprintf(stderr, "usage: %s [IMAGE]\n", arguments[0]);
        return 2;
    }
    file = count > 1 ? fopen(name, "rb") : stdin;
    if (file == NULL) {
        perror(name);
        return 2;
    }
    const char *complaint = read_image(image);
    if (complaint != NULL) {
        fprintf(stderr, "%s: %s; an image is FORMS\n", name, complaint);
        return 2;
    }
    NAME(image, scores);
    SHARES
    for (int k = 0; k < PREFIX_SCORES; k++)
        printf(FORMAT, CLASS, 100.0 * (double)scores[k]);
    return EXIT_SUCCESS;
}
#endif
