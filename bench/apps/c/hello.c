// The smallest function there is: one byte into its channel (bench/launch.c), or to its output (bench/peers.mjs).
#include <unistd.h>

int main(void)
{
    if (write(3, "r", 1) == 1)
        return pause();
    return write(1, "r", 1) == 1 ? 0 : 1;
}
