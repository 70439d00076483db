#ifdef PREFIX_MAIN
#include <stdio.h>

/* The next number in the head of a Netpbm file; -1 if there is none. A comment runs from # to the end of its line. */
static int next_number(FILE *file)
{
    int sign = getc(file), number = -1;
    while (sign == '#' || sign == ' ' || (sign >= '\t' && sign <= '\r')) {
        if (sign == '#')
            while (sign != '\n' && sign != EOF)
                sign = getc(file);
        sign = getc(file);
    }
    for (; sign >= '0' && sign <= '9' && number < 100000; sign = getc(file))
        number = (number < 0 ? 0 : 10 * number) + sign - '0';
    return number;
}

/* Read PIXELS; 0 if the file holds no such image. */
static int read_image(FILE *file, float *image)
{
    enum { channels = CHANNELS, height = HEIGHT, width = WIDTH };
    if (getc(file) != 'P' || getc(file) != (channels == 1 ? '5' : '6'))
        return 0;
    const int columns = next_number(file), rows = next_number(file), largest = next_number(file);
    if (columns != width || rows != height || largest < 1 || largest > 255)
        return 0;
    for (int i = 0; i < height * width; i++)
        for (int c = 0; c < channels; c++) {
            const int pixel = getc(file);
            if (pixel == EOF)
                return 0;
            image[c * height * width + i] = (float)pixel / (float)largest;
        }
    return 1;
}

/* Read NUMBERS; 0 if the file holds fewer. */
static int read_numbers(FILE *file, float *image)
{
    return fread(image, sizeof *image, INPUTS, file) == INPUTS;
}

/* Print each class's share of the scores of an image: a file, or standard input without one. */
int main(int count, char **arguments)
{
    static float image[INPUTS], scores[OUTPUTS];
    const char *name = count > 1 ? arguments[1] : "standard input";
    FILE *file = count > 1 ? fopen(name, "rb") : stdin;
    if (file == NULL || !READ(file, image)) {
        fprintf(stderr, "%s: cannot be read; needed is EXPECTED\n", name);
        return 2;
    }
    NAME(image, scores);
    SHARES
    for (int k = 0; k < OUTPUTS; k++)
        printf("%s: %.1f %%\n", class_names[k], 100.0 * (double)scores[k]);
    return 0;
}
#endif
