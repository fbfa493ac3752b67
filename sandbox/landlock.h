/* Landlock: a second wall behind the mounts, as high as the kernel's version of it allows.
 *
 *   files     read and run what the root shows; write only below /tmp, to devices and to one's own /proc
 *   network   no TCP bind or connect (ABI 4) but to the port of a server (kind http) and that of its bindings
 *   scopes    no abstract Unix sockets and no signals out of the sandbox (ABI 6)
 *
 * Never relied on alone: kernels before 5.13 have none, Debian 12's has files only. */
#pragma once

#include <stdint.h>

/* The kernel's ABI version; 0: no Landlock. */
int landlock_abi(void);
/* Restricts the calling process, which has no_new_privs; 0 among http_ports: none. 0, or -1 with errno.
 * System calls only. */
int landlock_restrict(int abi, const uint32_t http_ports[2]);
