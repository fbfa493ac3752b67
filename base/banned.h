/* Functions that Hob never calls: they overflow, leak descriptors, are not thread-safe or start a shell.
 * Included last by .c files; a use fails to compile. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok atoi atol atof gets
#pragma GCC poison system popen tmpnam mktemp
#pragma GCC poison localtime gmtime ctime asctime
