/* A text as JSON writes it, with its quotes. Pure; the bytes are taken for UTF-8 as they come: the reader judges them. */
#pragma once

#include "base/buf.h"

/* HOB_E_TOO_LARGE at the buffer's limit; then a part of it may be there. */
HOB_MUST_USE enum hob_code json_text_add(struct hob_buf *out, struct hob_str s);
