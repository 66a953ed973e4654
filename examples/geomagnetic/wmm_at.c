#include "wmm_at.h"

#include <math.h>
#include <stddef.h>

#include "wmm.h"

int wmm_at(double latitude, double longitude, double height, double year, double north_east_down[3]) {
    const double degree = 0.017453292519943295, a = 6378.137, flattening = 1.0 / 298.257223563, reference = 6371.2;
    const double e2 = flattening * (2.0 - flattening);
    double x[WMM_INPUTS], b[WMM_OUTPUTS];
    double sp, cp, sl, cl, normal, across, along, r;
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
    north_east_down[0] = -sp * (cl * b[0] + sl * b[1]) + cp * b[2];
    north_east_down[1] = cl * b[1] - sl * b[0];
    north_east_down[2] = -cp * (cl * b[0] + sl * b[1]) - sp * b[2];
    return 0;
}
