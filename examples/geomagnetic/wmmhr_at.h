/* The Earth's magnetic field to degree 133 by latitude, longitude, height and date: WGS 84 around two compiled networks, wmm and crust. */
#ifndef WMMHR_AT_H
#define WMMHR_AT_H

/* Degrees, degrees east, km above the ellipsoid, decimal years; north, east and down in nT. At a pole north is along the meridian given.
   Returns 0; or -1, and leaves the numbers alone, outside of -90 to 90 degrees, -1 to 600 km, 2025 to 2030. */
int wmmhr_at(double latitude, double longitude, double height, double year, double north_east_down[3]);

#endif
