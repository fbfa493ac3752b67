#include "runner/init/json_text.h"

enum hob_code json_text_add(struct hob_buf *out, struct hob_str s)
{
    enum hob_code code = hob_buf_add(out, "\"", 1);
    for (size_t i = 0; code == HOB_OK && i < s.n; i++) {
        unsigned char c = (unsigned char)s.at[i];
        code = c == '"' || c == '\\' ? hob_buf_addf(out, "\\%c", c)
               : c < 0x20            ? hob_buf_addf(out, "\\u%04x", c)
                                     : hob_buf_add(out, &s.at[i], 1);
    }
    return code == HOB_OK ? hob_buf_add(out, "\"", 1) : code;
}
