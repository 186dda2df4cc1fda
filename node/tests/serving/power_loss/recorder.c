// Records what a process does to the files below a folder, and in which order. For LD_PRELOAD.
//
//   QUOIT_RECORD_ROOT    the folder, without links in its path
//   QUOIT_RECORD_LOG     where the record is appended to
//   QUOIT_RECORD_DIE     while this file exists, a sync of a journal kills the process instead
//   QUOIT_RECORD_FAIL    the n-th sync of a journal fails with EIO, as do all later ones
//
// One lock is held from before an operation until after its entry, so the order of entries is that of the operations.
// SIGUSR2 kills the process while the lock is held, so that no operation is without its entry, as it could be after SIGKILL.
// Syncs are recorded and not made: the process is to be as fast as it can be, and the page cache outlives it.
// Renames by raw system calls are not seen here. So a sync of a folder records the names in it, and a start records the
// names in all folders: what a killed process has renamed comes before what the next one does.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_FILE, SYNC_FOLDER, RENAME, UNLINK, MKDIR, NAMES };

struct head {
    uint32_t what;
    uint32_t name;  // bytes of the path
    uint64_t inode;
    uint64_t at;    // offset or length
    uint64_t data;  // bytes of the data, or of the second path
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int record = -1;
static const char *die;
static long fail = -1;

static int inside(const char *path) {
    return record >= 0 && !strncmp(path, root, strlen(root)) && path[strlen(root)] == '/';
}

static void note(uint32_t what, const char *path, uint64_t inode, uint64_t at, const void *data, size_t length) {
    struct head head = {what, (uint32_t)strlen(path), inode, at, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.name}, {(void *)data, length}};
    if (syscall(SYS_writev, record, parts, 3) != (long)(sizeof head + head.name + length)) abort();
}

// The path behind a descriptor, if it is below the root.
static int path_of(int fd, char path[4096]) {
    char link[64];
    if (record < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    if (!(flags & (O_CREAT | O_TRUNC))) return (int)syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int there = syscall(SYS_faccessat, folder, path, F_OK) == 0;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    int kept = errno;
    char full[4096];
    if (fd >= 0 && path_of(fd, full)) {
        if (!there) note(CREATE, full, inode_of(fd), 0, "", 0);
        else if (flags & O_TRUNC) note(TRUNCATE, full, inode_of(fd), 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

#define MODE(flags) va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest)
int open(const char *path, int flags, ...) { MODE(flags); return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags); return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags); return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags); return opened(folder, path, flags, mode); }

ssize_t write(int fd, const void *data, size_t length) {
    char path[4096];
    if (!path_of(fd, path)) return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, fd, data, length);
    int kept = errno;
    if (done > 0) note(WRITE, path, inode_of(fd), (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

// One part is a legal result, and the caller goes on with the rest.
ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[4096];
    if (!path_of(fd, path)) return syscall(SYS_writev, fd, parts, count);
    for (int part = 0; part < count; part++)
        if (parts[part].iov_len) return write(fd, parts[part].iov_base, parts[part].iov_len);
    return 0;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    char path[4096];
    if (!path_of(fd, path)) return syscall(SYS_pwrite64, fd, data, length, at);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
    int kept = errno;
    if (done > 0) note(WRITE, path, inode_of(fd), (uint64_t)at, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

int ftruncate64(int fd, off64_t length) {
    char path[4096];
    if (!path_of(fd, path)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (!done) note(TRUNCATE, path, inode_of(fd), (uint64_t)length, "", 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

// The names in a folder: inode and name, each name with its end.
static void note_folder(uint32_t what, const char *path) {
    size_t used = 0, most = 64 << 10;
    char *names = malloc(most);
    DIR *folder = opendir(path);
    struct dirent *entry;
    if (!names || !folder) abort();
    while ((entry = readdir(folder))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        uint64_t inode = entry->d_ino;
        size_t length = strlen(entry->d_name) + 1;
        if (used + sizeof inode + length > most && !(names = realloc(names, most *= 2))) abort();
        memcpy(names + used, &inode, sizeof inode);
        memcpy(names + used + sizeof inode, entry->d_name, length);
        used += sizeof inode + length;
    }
    closedir(folder);
    note(what, path, 0, 0, names, used);
    free(names);
}

static void note_folders(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    if (!folder) return; // no process has made it yet
    note_folder(NAMES, path);
    while ((entry = readdir(folder))) {
        char below[4096];
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= (int)sizeof below) abort();
        if (!lstat(below, &found) && S_ISDIR(found.st_mode)) note_folders(below);
    }
    closedir(folder);
}

static int synced(int fd, long call) {
    char path[4096];
    if (!path_of(fd, path)) {
        // The root itself is not below the root.
        if (record < 0 || strcmp(path, root)) return (int)syscall(call, fd);
    }
    struct stat found;
    if (fstat(fd, &found)) return -1;
    pthread_mutex_lock(&lock);
    int result = 0;
    size_t length = strlen(path);
    int journal = length > 4 && !strcmp(path + length - 4, ".jnl");
    if (S_ISDIR(found.st_mode)) {
        note_folder(SYNC_FOLDER, path);
    } else if (journal && die && !access(die, F_OK)) {
        raise(SIGKILL);
    } else if (journal && fail > 0 && (fail == 1 || fail-- == 1)) {
        errno = EIO;
        result = -1;
    } else {
        note(SYNC_FILE, path, found.st_ino, 0, "", 0);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int kept = errno;
    if (!done && inside(to)) note(RENAME, from, 0, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    int kept = errno;
    if (!done && inside(path)) note(UNLINK, path, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    int kept = errno;
    if (!done && inside(path)) note(MKDIR, path, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

static void *kill_between_operations(void *signals) {
    int signal;
    if (sigwait(signals, &signal)) abort();
    pthread_mutex_lock(&lock);
    raise(SIGKILL);
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    root = getenv("QUOIT_RECORD_ROOT");
    const char *path = getenv("QUOIT_RECORD_LOG");
    die = getenv("QUOIT_RECORD_DIE");
    const char *n = getenv("QUOIT_RECORD_FAIL");
    if (n) fail = atol(n);
    if (!root || !path) return;
    record = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (record < 0) abort();
    note_folders(root);

    // Blocked before any other thread is there, so in all of them; only this one waits for it.
    static sigset_t signals;
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL)) abort();
    if (pthread_create(&thread, NULL, kill_between_operations, &signals)) abort();
}
