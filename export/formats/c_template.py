"""The part of model.c that is the same for every model: loops over tables of constants. `$names` are filled in by `string.Template`."""

TYPES = """
typedef struct
{
    unsigned rows;
    unsigned columns;
    const real *weight;
$codes    const real *bias; /* NULL: none */
} affine_map;

typedef struct
{
    unsigned count;
    int kind;
} activation_run;

typedef struct
{
    const affine_map *up; /* of product lanes; NULL: none */
    const activation_run *runs;
    unsigned run_count;
} hidden_layer;

typedef struct
{
    unsigned map_count;
    const affine_map *maps;
    const hidden_layer *between;
} net;

typedef struct
{
    const net *gate; /* NULL: a dense layer */
    const net *experts;
    const unsigned *serves; /* gate output -> expert */
    unsigned gate_outputs;
    unsigned chosen;
    int weighting;
    const net *shared;        /* NULL: none */
    const affine_map *latent; /* NULL: none */
    const unsigned *reads;
    unsigned read_count;
    const unsigned *sees;
    unsigned see_count;
    const unsigned *writes;
    unsigned write_count;
    const int *carries; /* -1: nothing */
    unsigned leaving;
} moe_layer;
"""

CODES = "    const code *codes; /* NULL: weights are stored as they are */\n    const real *scales;\n"

SUM = """
/* Term k goes to partial sum k % LANES; these are added one after the other: an order that needs no licence to be vectorised. */
static real $name(const $kind *weight, const real *x, unsigned count)
{
    real part[LANES];
    real sum = ZERO;
    const unsigned whole = count - (count % LANES);
    unsigned k;
    unsigned j;
    if (whole > 0U)
    {
        for (j = 0U; j < LANES; j++)
        {
            part[j] = ZERO;
        }
        for (k = 0U; k < whole; k += LANES)
        {
            for (j = 0U; j < LANES; j++)
            {
                part[j] += $weight[k + j] * x[k + j];
            }
        }
        for (j = 0U; j < LANES; j++)
        {
            sum += part[j];
        }
    }
    for (k = whole; k < count; k++)
    {
        sum += $weight[k] * x[k];
    }
    return sum;
}
"""

PLAIN_SUM = """
static real row_sum(const affine_map *map, unsigned row, const real *x)
{
    return products(&map->weight[(size_t)row * map->columns], x, map->columns);
}
"""

CODED_SUM = """
static real row_sum(const affine_map *map, unsigned row, const real *x)
{
    const size_t start = (size_t)row * map->columns;
    real sum;
    if (map->codes != NULL)
    {
        sum = map->scales[row] * coded_products(&map->codes[start], x, map->columns); /* a power of two: nothing is rounded */
    }
    else
    {
        sum = products(&map->weight[start], x, map->columns);
    }
    return sum;
}
"""

LOOPS = """
static void affine(const affine_map *map, const real *x, real *out)
{
    unsigned row;
    for (row = 0U; row < map->rows; row++)
    {
        out[row] = row_sum(map, row, x) + ((map->bias != NULL) ? map->bias[row] : ZERO);
    }
}

static void hidden(const hidden_layer *layer, const affine_map *map, const real *x, real *out)
{
    unsigned r;
    unsigned k = 0U;
    affine(map, x, out);
    for (r = 0U; r < layer->run_count; r++)
    {
        const unsigned stop = k + layer->runs[r].count;
        for (; k < stop; k++)
        {
            out[k] = activated(layer->runs[r].kind, out[k]);
        }
    }
    if (layer->up != NULL)
    {
        real up[WIDEST];
        affine(layer->up, x, up);
        for (k = 0U; k < map->rows; k++)
        {
            out[k] *= up[k];
        }
    }
}

static void evaluate_net(const net *f, const real *x, real *out)
{
    real state[2][WIDEST];
    const real *arriving = x;
    unsigned j;
    for (j = 0U; (j + 1U) < f->map_count; j++)
    {
        hidden(&f->between[j], &f->maps[j], arriving, state[j % 2U]);
        arriving = state[j % 2U];
    }
    affine(&f->maps[f->map_count - 1U], arriving, out);
}

/* The gate outputs with the largest logits, best first; of equal ones the first. */
static void choose(const moe_layer *layer, const real *logits, unsigned *chosen)
{
    unsigned char taken[MOST_GATE_OUTPUTS];
    unsigned k;
    unsigned i;
    for (i = 0U; i < layer->gate_outputs; i++)
    {
        taken[i] = 0U;
    }
    for (k = 0U; k < layer->chosen; k++)
    {
        unsigned best = layer->gate_outputs;
        for (i = 0U; i < layer->gate_outputs; i++)
        {
            if ((taken[i] == 0U) && ((best == layer->gate_outputs) || (logits[i] > logits[best])))
            {
                best = i;
            }
        }
        taken[best] = 1U;
        chosen[k] = best;
    }
}

static void weigh(const moe_layer *layer, const real *logits, const unsigned *chosen, real *weights)
{
    unsigned k;
    real sum = ZERO;
    for (k = 0U; k < layer->chosen; k++)
    {
        const real logit = logits[chosen[k]];
        switch (layer->weighting)
        {
        case WEIGHTING_RECTIFIED:
            weights[k] = (logit > ZERO) ? logit : ZERO;
            break;
        case WEIGHTING_UNIFORM:
            weights[k] = ONE / (real)layer->chosen;
            break;
        default:
            weights[k] = EXP(logit - logits[chosen[0]]);
            sum += weights[k];
            break;
        }
    }
    if (layer->weighting == WEIGHTING_SOFTMAX)
    {
        for (k = 0U; k < layer->chosen; k++)
        {
            weights[k] /= sum;
        }
    }
}

static void gather(const unsigned *which, unsigned count, const real *x, real *out)
{
    unsigned k;
    for (k = 0U; k < count; k++)
    {
        out[k] = x[which[k]];
    }
}

static void run_experts(const moe_layer *layer, const real *x, const real *logits, const unsigned *chosen, real *written)
{
    real read[WIDEST];
    real low[WIDEST];
    real out[WIDEST];
    real weights[MOST_CHOSEN];
    unsigned k;
    unsigned j;
    gather(layer->reads, layer->read_count, x, read);
    if (layer->latent != NULL)
    {
        affine(layer->latent, read, low);
    }
    weigh(layer, logits, chosen, weights);
    for (k = 0U; k < layer->chosen; k++)
    {
        evaluate_net(&layer->experts[layer->serves[chosen[k]]], (layer->latent != NULL) ? low : read, out);
        for (j = 0U; j < layer->write_count; j++)
        {
            const real term = (layer->weighting == WEIGHTING_NONE) ? out[j] : (weights[k] * out[j]);
            written[j] = (k == 0U) ? term : (written[j] + term);
        }
    }
    if (layer->shared != NULL)
    {
        evaluate_net(layer->shared, read, out);
        for (j = 0U; j < layer->write_count; j++)
        {
            written[j] += out[j];
        }
    }
}

static void advance(const moe_layer *layer, const real *x, real *leaving, unsigned *chosen)
{
    real seen[WIDEST];
    real logits[MOST_GATE_OUTPUTS];
    real written[WIDEST];
    unsigned k;
    for (k = 0U; k < layer->gate_outputs; k++)
    {
        logits[k] = ZERO;
    }
    if (layer->gate != NULL)
    {
        gather(layer->sees, layer->see_count, x, seen);
        evaluate_net(layer->gate, seen, logits);
    }
    choose(layer, logits, chosen);
    run_experts(layer, x, logits, chosen, written);
    for (k = 0U; k < layer->leaving; k++)
    {
        leaving[k] = (layer->carries[k] >= 0) ? x[layer->carries[k]] : ZERO;
    }
    for (k = 0U; k < layer->write_count; k++)
    {
        leaving[layer->writes[k]] += written[k];
    }
}

void ${prefix}_evaluate(const ${prefix}_real x[${PREFIX}_INPUTS], ${prefix}_real y[${PREFIX}_OUTPUTS], unsigned routes[${PREFIX}_ROUTES])
{
    real state[2][WIDEST];
    unsigned chosen[MOST_CHOSEN];
    const real *arriving = x;
    unsigned place = 0U;
    unsigned l;
    unsigned k;
    for (l = 0U; l < ${PREFIX}_LAYERS; l++)
    {
        advance(&layers[l], arriving, state[l % 2U], chosen);
        arriving = state[l % 2U];
        if (routes != NULL)
        {
            for (k = 0U; k < layers[l].chosen; k++)
            {
                routes[place] = chosen[k];
                place++;
            }
        }
    }
    for (k = 0U; k < ${PREFIX}_OUTPUTS; k++)
    {
        y[k] = arriving[k];
    }
}
"""

GUARD = """
/* What is proved of this file is about IEEE 754 arithmetic in its own precision. */
#ifndef ${PREFIX}_UNPROVED
#ifdef __FAST_MATH__
#error "compile without -ffast-math (-Ofast), or define ${PREFIX}_UNPROVED: what is proved does not hold then"
#endif
$excess#endif
"""

EXCESS = """#if (FLT_EVAL_METHOD != 0) && (FLT_EVAL_METHOD != 1)
#error "double is not evaluated in double here (use -msse2 -mfpmath=sse), or define ${PREFIX}_UNPROVED: what is proved does not hold then"
#endif
"""
