/* A small HTTP service in C: the time, and how many have asked.
 *
 *     ounce build examples/c-time --platform linux/amd64,linux/arm64,linux/arm/v6
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void end(int signal_number) {
    (void)signal_number;
    _exit(0);
}

int main(void) {
    /* As process 1 a program gets no signal that it has not asked for. */
    signal(SIGTERM, end);
    signal(SIGINT, end);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("port 8080");
        return 1;
    }
    for (unsigned long asked = 0;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        /* Who sends nothing is not waited for. */
        struct timeval patience = {.tv_sec = 5};
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        char head[2048];
        if (read(client, head, sizeof head) > 0) {
            char now[32], answer[256];
            time_t seconds = time(NULL);
            strftime(now, sizeof now, "%FT%TZ", gmtime(&seconds));
            int length = snprintf(answer, sizeof answer,
                                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                  "Connection: close\r\n\r\n%s %lu\n",
                                  now, ++asked);
            send(client, answer, (size_t)length, MSG_NOSIGNAL);
        }
        close(client);
    }
}
