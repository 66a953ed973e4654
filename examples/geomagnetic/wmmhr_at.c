#include "wmmhr_at.h"

#include <math.h>
#include <stddef.h>

#include "crust.h"
#include "wmm.h"

/* The weights of crust.py at q = a/r: q^18 T_k((2 q^25 - LOW - HIGH)/(HIGH - LOW)), over the scales. */
#define LOW 0.10281196718608702
#define HIGH 1.0625682919828687
#define KEPT 5

static void weigh(double q, double w[KEPT]) {
    static const double scales[KEPT] = {1.0, 1.0, 2.0, 8.0, 64.0};
    const double q2 = q * q, q4 = q2 * q2, q8 = q4 * q4, q16 = q8 * q8, q18 = q16 * q2;
    const double s = (2.0 * q16 * q8 * q - LOW - HIGH) / (HIGH - LOW);
    double last = s, now = 1.0;
    int k;
    for (k = 0; k < KEPT; k++) {
        const double next = 2.0 * s * now - last;
        w[k] = q18 * now / scales[k];
        last = now;
        now = next;
    }
}

int wmmhr_at(double latitude, double longitude, double height, double year, double north_east_down[3]) {
    const double degree = 0.017453292519943295, a = 6378.137, flattening = 1.0 / 298.257223563, reference = 6371.2;
    const double e2 = flattening * (2.0 - flattening);
    double x[WMM_INPUTS], b[WMM_OUTPUTS], rocks[CRUST_OUTPUTS], w[KEPT];
    double sp, cp, sl, cl, normal, across, along, r;
    int k, c;
    if (!(latitude >= -90.0 && latitude <= 90.0 && longitude >= -1e6 && longitude <= 1e6)) return -1;
    if (!(height >= -1.0 && height <= 600.0 && year >= 2025.0 && year <= 2030.0)) return -1;
    sp = sin(latitude * degree);
    cp = cos(latitude * degree);
    sl = sin(longitude * degree);
    cl = cos(longitude * degree);
    normal = a / sqrt(1.0 - e2 * sp * sp);
    across = (normal + height) * cp;
    along = (normal * (1.0 - e2) + height) * sp;
    r = sqrt(across * across + along * along);
    x[0] = across / r * cl;
    x[1] = across / r * sl;
    x[2] = along / r;
    x[3] = r / reference;
    x[4] = year;
    wmm_evaluate(x, b, NULL);
    crust_evaluate(x, rocks, NULL);
    weigh(reference / r, w);
    for (k = 0; k < KEPT; k++) {
        for (c = 0; c < 3; c++) b[c] += w[k] * rocks[3 * k + c];
    }
    north_east_down[0] = -sp * (cl * b[0] + sl * b[1]) + cp * b[2];
    north_east_down[1] = cl * b[1] - sl * b[0];
    north_east_down[2] = -cp * (cl * b[0] + sl * b[1]) - sp * b[2];
    return 0;
}
