/* Points and polygons on the globe. */
#include <math.h>
#include <stdlib.h>

#include "store/data/data_priv.h"

static bool number_member(struct hob_str object, struct hob_str name, double *ret_v)
{
    struct hob_str raw = scan_member(object, name);
    return raw.at && scan_number(raw, ret_v);
}

static bool is_on_earth(struct geo g)
{
    return g.lat >= -90 && g.lat <= 90 && g.lon >= -180 && g.lon <= 180;
}

bool geo_of(struct hob_str json, struct geo *ret_point)
{
    struct geo g;
    if (!json.at || json.n == 0 || json.at[0] != '{' ||
        !hob_str_is(scan_member(json, HOB_STR("__type")), "\"GeoPoint\"") ||
        !number_member(json, HOB_STR("latitude"), &g.lat) ||
        !number_member(json, HOB_STR("longitude"), &g.lon) || !is_on_earth(g))
        return false;
    *ret_point = g;
    return true;
}

static double radians(double degrees)
{
    return degrees * (M_PI / 180);
}

/* Haversine: exact enough for near points, too. */
double geo_distance(struct geo a, struct geo b)
{
    double lat = sin(radians(b.lat - a.lat) / 2), lon = sin(radians(b.lon - a.lon) / 2);
    double h = lat * lat + cos(radians(a.lat)) * cos(radians(b.lat)) * lon * lon;
    return 2 * asin(fmin(1, sqrt(h)));
}

/* Does the way from a to b pass through `at`? */
static bool is_on_edge(struct geo a, struct geo b, struct geo at)
{
    double cross = (b.lon - a.lon) * (at.lat - a.lat) - (b.lat - a.lat) * (at.lon - a.lon);
    return fabs(cross) < 1e-12 && at.lat >= fmin(a.lat, b.lat) && at.lat <= fmax(a.lat, b.lat) &&
           at.lon >= fmin(a.lon, b.lon) && at.lon <= fmax(a.lon, b.lon);
}

/* Even-odd rule; the border belongs to it. */
bool polygon_holds(const struct polygon *p, struct geo at)
{
    bool is_inside = false;
    for (size_t i = 0, k = p->n - 1; i < p->n; k = i++) {
        struct geo a = p->points[i], b = p->points[k];
        if (is_on_edge(a, b, at))
            return true;
        if ((a.lat > at.lat) != (b.lat > at.lat) &&
            at.lon < (b.lon - a.lon) * (at.lat - a.lat) / (b.lat - a.lat) + a.lon)
            is_inside = !is_inside;
    }
    return is_inside;
}

static bool pair_of(struct hob_str json, struct geo *ret_point)
{
    struct hob_str lat, lon;
    struct scan_iter it = scan_inside(json);
    return scan_next(&it, &lat) && scan_next(&it, &lon) && scan_number(lat, &ret_point->lat) &&
           scan_number(lon, &ret_point->lon);
}

bool polygon_of(struct hob_str json, struct polygon *ret_polygon)
{
    struct hob_str point;
    size_t cap = 0;
    struct polygon p = {NULL, 0};
    if (!json.at || json.n == 0 || json.at[0] != '{' ||
        !hob_str_is(scan_member(json, HOB_STR("__type")), "\"Polygon\""))
        return false;
    struct hob_str list = scan_member(json, HOB_STR("coordinates"));
    if (!list.at)
        return false;
    struct scan_iter it = scan_inside(list);
    while (scan_next(&it, &point) && p.n < POLYGON_POINTS_MAX) {
        if (p.n == cap) {
            cap = cap ? cap * 2 : 16;
            p.points = hob_realloc(p.points, cap, sizeof *p.points);
        }
        if (!pair_of(point, &p.points[p.n++])) {
            p.n = 0;
            break;
        }
    }
    if (p.n < 3) {
        free(p.points);
        return false;
    }
    *ret_polygon = p;
    return true;
}
