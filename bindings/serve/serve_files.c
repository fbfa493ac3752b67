#include "bindings/serve/serve_priv.h"
const struct serve_op serve_file_ops[] = {{0}};
