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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <stddef.h>
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

/* What got out of runc, crun, docker or the kernel before, as far as it can be tried here. */
static void published(void) {
    char buffer[4096], path[64];
    /* CVE-2024-21626, CVE-2016-9962: a folder of the host behind a descriptor. */
    for (int fd = 3; fd < 300; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) printf("descriptor %d: DONE\n", fd);
        snprintf(path, sizeof path, "/proc/self/fd/%d/..", fd);
        if (!access(path, F_OK)) printf("%s: DONE\n", path);
    }
    /* Where the host shows through: it has an /etc/passwd, this root has none. */
    tell("host through the working folder", access("../../../../../../etc/passwd", F_OK));
    tell("host through /proc/1/root", access("/proc/1/root/etc/passwd", F_OK));
    tell("host through /proc/1/cwd", access("/proc/1/cwd/../../../etc/passwd", F_OK));
    tell("host through /dev/fd", access("/dev/fd/0/../../../etc/passwd", F_OK));
    /* CVE-2019-5736: the runtime's program behind /proc/PID/exe. */
    for (int pid = 1; pid < 64; pid++) {
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        int fd = open(path, O_WRONLY);
        if (fd >= 0) printf("write %s: DONE\n", path);
    }
    tell("truncate the program", truncate("/proc/self/exe", 0));
    /* CVE-2022-0492 and older: a release agent, called by the kernel as the host's root. */
    tell("mount cgroup v1", mount("cgroup", "/tmp", "cgroup", 0, "rdma"));
    tell("mount cgroup v2", mount("cgroup2", "/tmp", "cgroup2", 0, ""));
    tell("write a release agent", open("/sys/fs/cgroup/release_agent", O_WRONLY));
    tell("write a release agent of memory", open("/sys/fs/cgroup/memory/release_agent", O_WRONLY));
    const char *helpers[] = {
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
        "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic",
        "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger",
        "/proc/1/oom_score_adj", "/proc/1/uid_map", "/proc/1/attr/exec", "/proc/irq/default_smp_affinity",
        "/proc/bus/pci/00/00.0", "/proc/fs/ext4", "/sys/kernel/uevent_helper", "/sys/power/state",
        "/sys/kernel/debug/tracing/trace", "/sys/kernel/security/lockdown", "/sys/firmware/efi/vars",
        "/sys/module/kernel/parameters/panic", "/sys/class/net/lo/mtu",
    };
    for (unsigned at = 0; at < sizeof helpers / sizeof *helpers; at++) tell(helpers[at], open(helpers[at], O_WRONLY));
    /* CVE-2025-31133, CVE-2025-52565: masks through links; what they hide must be empty. */
    const char *hidden[] = { "/proc/keys", "/proc/timer_list", "/proc/kcore", "/proc/interrupts", "/proc/key-users" };
    for (unsigned at = 0; at < sizeof hidden / sizeof *hidden; at++) {
        int fd = open(hidden[at], O_RDONLY);
        if (fd >= 0 && read(fd, buffer, 1) > 0) printf("read %s: DONE\n", hidden[at]);
        if (!unlink(hidden[at])) printf("unlink %s: DONE\n", hidden[at]);
    }
    const char *folders[] = { "/proc/acpi", "/proc/scsi", "/sys/firmware" };
    for (unsigned at = 0; at < sizeof folders / sizeof *folders; at++) {
        DIR *folder = opendir(folders[at]);
        struct dirent *entry;
        while (folder && (entry = readdir(folder)))
            if (entry->d_name[0] != '.') printf("list %s: DONE\n", folders[at]);
    }
    tell("replace /dev/null", unlink("/dev/null"));
    tell("rename /dev/null", rename("/dev/null", "/dev/other"));
    tell("unlink a mount point", rmdir("/proc"));
    tell("move /proc", rename("/proc", "/tmp/proc"));
    /* Other processes: none is there but this one. */
    for (int pid = 0; pid < 64; pid++) {
        if (pid != getpid() && !ptrace(PTRACE_ATTACH, pid, 0, 0)) printf("ptrace %d: DONE\n", pid);
        if (pid && pid != getpid() && !kill(pid, 0)) printf("signal %d: DONE\n", pid);
    }
    tell("seize the first process", ptrace(PTRACE_SEIZE, 1, 0, 0));
    tell("read its memory", syscall(SYS_process_vm_readv, 1, buffer, 1, buffer, 1, 0));
    tell("write its memory", syscall(SYS_process_vm_writev, 1, buffer, 1, buffer, 1, 0));
    tell("take its descriptors", syscall(438, 0, 0, 0));
    /* "Shocker": files by handle. CVE-2014-3519 and others. */
    tell("name a handle", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", buffer, buffer, 0));
    tell("open a handle", syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, O_RDONLY));
    /* Keys are in no namespace. CVE-2016-0728. */
    tell("add a key", syscall(SYS_add_key, "user", "ounce", "x", 1, -3));
    tell("request a key", syscall(SYS_request_key, "user", "ounce", 0, -3));
    /* The terminal: typing, the selection buffer, the console. */
    for (int fd = 0; fd < 3; fd++) {
        tell("type", ioctl(fd, 0x5412, "x"));
        tell("type with high bits", syscall(SYS_ioctl, fd, 0x100005412, "x"));
        tell("paste", ioctl(fd, 0x541c, "\3"));
    }
    /* Nodes, set-id files, namespaces, the kernel. */
    tell("make a console", mknod("/tmp/console", S_IFCHR | 0600, 5 << 8 | 1));
    tell("make a node in /dev", mknod("/dev/mem", S_IFCHR | 0600, 1 << 8 | 1));
    tell("join a namespace", syscall(SYS_setns, open("/proc/self/ns/net", O_RDONLY), 0));
    tell("unshare mounts", unshare(CLONE_NEWNS));
    tell("unshare the cgroup", unshare(CLONE_NEWCGROUP));
    tell("pivot", syscall(SYS_pivot_root, ".", "."));
    tell("copy a tree", syscall(428, AT_FDCWD, "/", 1));
    tell("move a mount", syscall(429, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0));
    tell("change a mount", syscall(442, AT_FDCWD, "/", 0, buffer, 32));
    tell("remount the root", mount(0, "/", 0, MS_REMOUNT | MS_BIND, 0));
    tell("load a module", syscall(SYS_init_module, buffer, 1, ""));
    tell("load another kernel", syscall(SYS_kexec_load, 0, 0, 0, 0));
    tell("restart", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0));
    tell("read the kernel's log", syscall(SYS_syslog, 3, buffer, 16));
    tell("fault by hand", syscall(SYS_userfaultfd, 0));
    tell("count events", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
    tell("swap", syscall(SYS_swapon, "/tmp", 0));
    tell("set the clock", syscall(SYS_settimeofday, buffer, 0));
    tell("watch the file system", syscall(SYS_fanotify_init, 0, 0));
    tell("a packet socket", socket(17, SOCK_RAW, 0));
    tell("kernel crypto", socket(38, SOCK_SEQPACKET, 0));
#ifdef SYS_iopl
    tell("ports", syscall(SYS_iopl, 3));
    tell("descriptor table", syscall(SYS_modify_ldt, 1, buffer, 16));
#endif
    struct rlimit more = { 1 << 20, 1 << 20 };
    tell("raise the limit of processes", setrlimit(RLIMIT_NPROC, &more));
    puts("tried");
}

static void handler(int number) { (void)number; write(1, "term\n", 5); _exit(7); }

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "hello";
    setvbuf(stdout, 0, _IOLBF, 0);
    if (!strcmp(what, "hello")) { puts("hello"); return 0; }
    if (!strcmp(what, "exit")) return atoi(argv[2]);
    if (!strcmp(what, "abort")) { signal(SIGABRT, SIG_DFL); syscall(SYS_exit_group, 134); }
    if (!strcmp(what, "escape")) { escape(); return 0; }
    if (!strcmp(what, "published")) { published(); return 0; }
    if (!strcmp(what, "id")) { printf("%d %d\n", geteuid(), getegid()); return 0; }
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
    if (!strcmp(what, "abstract")) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strcpy(address.sun_path + 1, argv[2]);
        int length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[2]);
        tell("connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, length));
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
