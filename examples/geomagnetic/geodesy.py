"""Places on and above the ellipsoid WGS 84 as coordinates of a task, and field vectors as north, east and down.

This is the side of whoever asks: a network reads a direction (x, y, z), a radius in units of 6371.2 km and a date; longitude and
latitude are no coordinates of a sphere, and north and east are no directions at a pole until somebody says which meridian one looks along.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
A, FLATTENING = 6378.137, 1 / 298.257223563
REFERENCE = 6371.2
"""Radius of the series, km."""
HEIGHTS = (-1.0, 600.0)
DATES = (2025.0, 2030.0)
RADII = ((A * (1 - FLATTENING) + HEIGHTS[0]) / REFERENCE, (A + HEIGHTS[1]) / REFERENCE)
"""All distances from the centre that heights come to."""


def coordinates(latitude: Array, longitude: Array, height: Array, date: Array) -> Array:
    """(N, 5): direction, radius, date, of degrees, km above the ellipsoid, and years."""
    phi, lam = np.radians(np.broadcast_arrays(latitude, longitude))
    e2 = FLATTENING * (2 - FLATTENING)
    normal = A / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    across, along = (normal + height) * np.cos(phi), (normal * (1 - e2) + height) * np.sin(phi)
    p = np.stack([across * np.cos(lam), across * np.sin(lam), along], axis=-1)
    r = np.linalg.norm(p, axis=-1, keepdims=True)
    return np.concatenate([p / r, r / REFERENCE, np.broadcast_to(date, r.shape[:-1])[..., None]], axis=-1)


def north_east_down(field: Array, latitude: Array, longitude: Array) -> Array:
    """(N, 3) of components along x, y and z."""
    phi, lam = np.radians(np.broadcast_arrays(latitude, longitude))
    zero = np.zeros_like(phi)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], axis=-1)
    down = np.stack([-np.cos(phi) * np.cos(lam), -np.cos(phi) * np.sin(lam), -np.sin(phi)], axis=-1)
    return np.stack([(field * axis).sum(-1) for axis in (north, east, down)], axis=-1)
