/* The program that holds a pod's namespaces, and that of a node: it waits until it
 * is asked to end, and buries what was orphaned. With a number it waits so many
 * seconds, which is how a replica pauses where the kubelet knows no pause. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count > 1) {
        unsigned left = (unsigned)atoi(words[1]);
        while (left > 0)
            left = sleep(left);
        return 0;
    }
    sigset_t all;
    int signal;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    for (;;) {
        if (sigwait(&all, &signal) != 0)
            continue;
        if (signal == SIGTERM || signal == SIGINT)
            return 0;
        while (signal == SIGCHLD && waitpid(-1, 0, WNOHANG) > 0)
            ;
    }
}
