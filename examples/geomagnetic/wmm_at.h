/* The Earth's magnetic field by latitude, longitude, height and date: WGS 84 around a compiled network, wmm.h and wmm.c. */
#ifndef WMM_AT_H
#define WMM_AT_H

/* Degrees, degrees east, km above the ellipsoid, decimal years; north, east and down in nT. At a pole north is along the meridian given.
   Returns 0; or -1, and leaves the numbers alone, outside of -90 to 90 degrees, -1 to 600 km, 2025 to 2030. */
int wmm_at(double latitude, double longitude, double height, double year, double north_east_down[3]);

#endif
