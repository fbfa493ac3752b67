/* Points and polygons on the globe, and the operators of a `where` that ask for them: $nearSphere, $within, $geoWithin,
 * $geoIntersects. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* --- the operators --- */

static const double km_radius = 6371, miles_radius = 3959;

static enum hob_code bad(const char *what, struct hob_err *err)
{
    return hob_fail_parse(err, HOB_E_INVALID, 107, "%s", what);
}

static bool number(const json_t *j, double *ret_v)
{
    if (!json_is_number(j))
        return false;
    *ret_v = json_number_value(j);
    return isfinite(*ret_v);
}

/* {"__type":"GeoPoint","latitude":..,"longitude":..} or [longitude, latitude]. */
static bool point_of(const json_t *j, struct geo *ret_point)
{
    struct geo g;
    bool is = json_is_array(j) ? json_array_size(j) == 2 && number(json_array_get(j, 0), &g.lon) &&
                                     number(json_array_get(j, 1), &g.lat)
                               : number(json_object_get(j, "latitude"), &g.lat) &&
                                     number(json_object_get(j, "longitude"), &g.lon);
    if (!is || !is_on_earth(g))
        return false;
    *ret_point = g;
    return true;
}

static enum hob_code radius_of(const json_t *all, double *ret_radians, struct hob_err *err)
{
    static const struct {
        const char *name;
        double divisor;
    } ways[] = {{"$maxDistance", 1},
                {"$maxDistanceInRadians", 1},
                {"$maxDistanceInKilometers", 0},
                {"$maxDistanceInMiles", -1}};
    *ret_radians = INFINITY;
    for (size_t i = 0; i < HOB_COUNT(ways); i++) {
        const json_t *j = json_object_get(all, ways[i].name);
        double v, divisor = ways[i].divisor > 0 ? 1 : ways[i].divisor < 0 ? miles_radius : km_radius;
        if (!j)
            continue;
        if (!number(j, &v) || v < 0)
            return bad("bad $maxDistance: it must be a number that is not negative", err);
        *ret_radians = fmin(*ret_radians, v / divisor);
    }
    return HOB_OK;
}

static enum hob_code fill_near(struct where *w, struct cond *c, const json_t *value, const json_t *all,
                               struct hob_err *err)
{
    c->op = COND_NEAR;
    if (!point_of(value, &c->at))
        return bad("bad $nearSphere value, it should be a GeoPoint", err);
    if (!w->near)
        w->near = c;
    return radius_of(all, &c->radius, err);
}

static enum hob_code fill_box(struct cond *c, const json_t *value, struct hob_err *err)
{
    const json_t *box = json_object_get(value, "$box");
    c->op = COND_BOX;
    if (json_array_size(box) != 2 || !point_of(json_array_get(box, 0), &c->at) ||
        !point_of(json_array_get(box, 1), &c->to))
        return hob_fail_parse(err, HOB_E_INVALID, 102, "malformatted $within arg");
    return HOB_OK;
}

/* Coordinates of a Polygon are [latitude, longitude]; a bare pair of a query is [longitude, latitude]. */
static bool polygon_point(const json_t *j, bool is_typed, struct geo *ret_point)
{
    if (!is_typed || !json_is_array(j))
        return point_of(j, ret_point);
    struct geo swapped;
    if (!number(json_array_get(j, 0), &swapped.lat) || !number(json_array_get(j, 1), &swapped.lon) ||
        !is_on_earth(swapped))
        return false;
    *ret_point = swapped;
    return true;
}

static enum hob_code fill_polygon(struct where *w, struct cond *c, const json_t *polygon, struct hob_err *err)
{
    bool is_typed = json_is_object(polygon);
    const json_t *points = is_typed ? json_object_get(polygon, "coordinates") : polygon;
    size_t n = json_array_size(points);
    c->op = COND_POLYGON;
    if (n < 3)
        return bad(is_typed
                       ? "bad $geoWithin value; Polygon.coordinates should contain at least 3 lon/lat pairs"
                       : "bad $geoWithin value; $polygon should contain at least 3 GeoPoints",
                   err);
    if (n > POLYGON_POINTS_MAX)
        return bad("bad $geoWithin value; $polygon has too many points", err);
    c->polygon.points = hob_arena_alloc(&w->mem, n * sizeof(struct geo));
    if (!c->polygon.points)
        return hob_fail_parse(err, HOB_E_TOO_LARGE, 102, "the query is too large");
    c->polygon.n = n;
    for (size_t i = 0; i < n; i++)
        if (!polygon_point(json_array_get(points, i), is_typed, &c->polygon.points[i]))
            return bad("bad $geoWithin value; $polygon should contain GeoPoints", err);
    return HOB_OK;
}

static enum hob_code fill_sphere(struct cond *c, const json_t *sphere, struct hob_err *err)
{
    c->op = COND_NEAR;
    if (json_array_size(sphere) != 2 || !point_of(json_array_get(sphere, 0), &c->at))
        return bad("bad $geoWithin value; $centerSphere should be an array of Parse.GeoPoint and distance",
                   err);
    if (!number(json_array_get(sphere, 1), &c->radius) || c->radius < 0)
        return bad("bad $geoWithin value; $centerSphere distance invalid", err);
    return HOB_OK;
}

static enum hob_code fill_within(struct where *w, struct cond *c, const json_t *value, struct hob_err *err)
{
    const json_t *polygon = json_object_get(value, "$polygon"),
                 *sphere = json_object_get(value, "$centerSphere");
    if (polygon)
        return fill_polygon(w, c, polygon, err);
    if (sphere)
        return fill_sphere(c, sphere, err);
    if (json_object_get(value, "$box"))
        return fill_box(c, value, err);
    return bad("bad $geoWithin value; use $polygon, $centerSphere or $box", err);
}

enum hob_code where_geo(struct where *w, struct cond *c, const char *op, const json_t *value,
                        const json_t *all, struct hob_err *err)
{
    if (strcmp(op, "$nearSphere") == 0)
        return fill_near(w, c, value, all, err);
    if (strcmp(op, "$within") == 0)
        return fill_box(c, value, err);
    if (strcmp(op, "$geoWithin") == 0)
        return fill_within(w, c, value, err);
    if (!point_of(json_object_get(value, "$point"), &c->at))
        return bad("bad $geoIntersect value; $point should be GeoPoint", err);
    return HOB_OK;
}
