/* The project templates of the runtimes (runtimes/NAME/template), built into the program by mk/embed.sh so that
 * `hob init` needs nothing beside the binary. Constant. */
#pragma once

#include <stddef.h>

struct template_file {
    const char *template_name; /* "node" */
    const char *path;          /* "index.mjs" */
    const unsigned char *data;
    size_t n;
    int is_executable;
};
extern const struct template_file template_files[];
extern const size_t template_files_n;
