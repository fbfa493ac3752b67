/* Capabilities.
 *
 *   worker    keeps what making sandboxes needs and gives up the rest; its bounding set is emptied, once: what
 *             it starts inherits that, so that no exec inside a sandbox can ever gain one
 *   sandbox   effective, permitted, inheritable and ambient empty; no_new_privs */
#pragma once

/* 0, or -1 with errno. */
int caps_worker(void);
int caps_netns(void); /* what making network namespaces needs, alone */
int caps_none(void);  /* system calls only */
