/* Preloaded into a program: refuses every socket that is not a local one, and every look-up of a name, and writes a line
   about each to the file that NETWORK_GUARD names. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void tell(const char *what, const char *detail) {
    const char *path = getenv("NETWORK_GUARD");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s %s\n", what, detail);
        fclose(file);
    }
}

int socket(int domain, int type, int protocol) {
    if (domain == AF_UNIX)
        return ((int (*)(int, int, int))dlsym(RTLD_NEXT, "socket"))(domain, type, protocol);
    tell("socket", domain == AF_INET ? "AF_INET" : domain == AF_INET6 ? "AF_INET6" : "another");
    errno = EACCES;
    return -1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    (void)service, (void)hints, (void)result;
    tell("getaddrinfo", node ? node : "-");
    return EAI_FAIL;
}
