/* The program in the test containers: does what it is told, and tries what must fail. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

static void tell(const char *what, long result) {
    printf("%s: %s\n", what, result >= 0 ? "DONE" : "refused");
}

static void list(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;
    if (!folder) { printf("%s: refused\n", path); return; }
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') count++;
    printf("%s: %d\n", path, count);
    closedir(folder);
}

static void escape(void) {
    char buffer[4096];
    tell("write to the root", open("/made", O_CREAT | O_WRONLY, 0644));
    tell("make a folder in /proc's parent", mkdir("/made", 0755));
    tell("read /proc/kcore", open("/proc/kcore", O_RDONLY) < 0 ? -1 : (long)read(open("/proc/kcore", O_RDONLY), buffer, 16) - 1);
    tell("write a sysctl", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    tell("trigger sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    tell("mount", mount("none", "/tmp", "tmpfs", 0, ""));
    tell("mount by descriptors", syscall(SYS_fsopen, "tmpfs", 0));
    tell("unmount /proc", umount2("/proc", MNT_DETACH));
    tell("become user 0", setuid(getuid() ? 0 : 1));
    tell("change groups", syscall(SYS_setgroups, 1, (gid_t[]){0}));
    tell("unshare", unshare(CLONE_NEWUSER));
    tell("clone into a new namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    tell("clone3", syscall(SYS_clone3, 0, 0));
    tell("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
    tell("make a device node", mknod("/tmp/disk", S_IFBLK | 0600, 254 << 8));
    tell("open a disk", open("/dev/vda", O_RDONLY));
    tell("open /dev/mem", open("/dev/mem", O_RDONLY));
    tell("chroot", chroot("/tmp"));
    tell("set the host name", sethostname("evil", 4));
    tell("bpf", syscall(SYS_bpf, 0, 0, 0));
    tell("keyctl", syscall(SYS_keyctl, 0, -3));
    tell("io_uring", syscall(SYS_io_uring_setup, 1, buffer));
    tell("raw socket", socket(AF_INET, SOCK_RAW, 1));
    tell("vsock", socket(40, SOCK_STREAM, 0));
    tell("type into the terminal", ioctl(0, TIOCSTI, "x"));
    tell("overwrite the program", open("/proc/self/exe", O_WRONLY));
    tell("32-bit number space", syscall(0x40000000 | SYS_getpid));
    tell("leave the root", chdir("/..") < 0 ? -1 : access("/../etc/hostname", F_OK));
    list("/proc/self/fd");
    list("/dev/mqueue");
    int processes = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') processes++;
    printf("processes: %d\n", processes);
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(buffer, sizeof buffer, status))
        if (!strncmp(buffer, "Cap", 3) || !strncmp(buffer, "NoNewPrivs", 10) || !strncmp(buffer, "Seccomp:", 8)
            || !strncmp(buffer, "SigBlk", 6) || !strncmp(buffer, "SigIgn", 6) || !strncmp(buffer, "Uid", 3))
            fputs(buffer, stdout);
    FILE *mounts = fopen("/proc/self/mountinfo", "r");
    int writable = 0, total = 0;
    while (mounts && fgets(buffer, sizeof buffer, mounts)) {
        char *options = buffer;
        for (int field = 0; field < 5; field++) options = strchr(options, ' ') + 1;
        total++;
        if (!strncmp(options, "rw", 2)) writable++;
        if (!strstr(options, "nosuid")) printf("without nosuid: %s", buffer);
    }
    printf("mounts over 30: %s\n", total > 30 ? "yes" : "no");
    char name[64]; gethostname(name, sizeof name);
    printf("host name: %s\n", name);
}

static void handler(int number) { (void)number; write(1, "term\n", 5); _exit(7); }

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "hello";
    setvbuf(stdout, 0, _IOLBF, 0);
    if (!strcmp(what, "hello")) { puts("hello"); return 0; }
    if (!strcmp(what, "exit")) return atoi(argv[2]);
    if (!strcmp(what, "abort")) { signal(SIGABRT, SIG_DFL); syscall(SYS_exit_group, 134); }
    if (!strcmp(what, "escape")) { escape(); return 0; }
    if (!strcmp(what, "pause")) { puts("up"); for (;;) pause(); }
    if (!strcmp(what, "polite")) { signal(SIGTERM, handler); puts("up"); for (;;) pause(); }
    if (!strcmp(what, "bomb")) {
        int count = 0;
        while (count < 100000) { pid_t pid = fork(); if (pid < 0) break; if (!pid) for (;;) pause(); count++; }
        printf("forks: %d\n", count);
        return 0;
    }
    if (!strcmp(what, "sockets")) {
        struct stat data;
        printf("%s %s %s\n", getenv("LISTEN_FDS"), getenv("LISTEN_PID"), getenv("LISTEN_FDNAMES"));
        for (int fd = 3; fd < 6; fd++) printf("%d %s\n", fd, fstat(fd, &data) ? "closed" : S_ISSOCK(data.st_mode) ? "socket" : "other");
        return 0;
    }
    if (!strcmp(what, "loopback")) {
        int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        tell("bind port 80", bind(server, (void *)&address, sizeof address));
        listen(server, 1);
        tell("connect", connect(client, (void *)&address, sizeof address));
        return 0;
    }
    if (!strcmp(what, "terminal")) {
        printf("terminal: %d %d %d, %s\n", isatty(0), isatty(1), isatty(2), open("/dev/tty", O_RDWR) < 0 ? "none" : "controlling");
        return 0;
    }
    if (!strcmp(what, "write")) {
        int file = open(argv[2], O_CREAT | O_WRONLY, 0644);
        tell(argv[2], file < 0 ? -1 : write(file, "x", 1));
        return 0;
    }
    return 99;
}
